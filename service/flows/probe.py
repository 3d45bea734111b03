"""Hand out a version's probe."""

from service.domain.errors import NotFound
from service.domain.probes import Probe
from service.flows.alias import check_servable
from service.store.tables import Version


def probe_of(version: Version) -> Probe:
    """How to tell by its answers whether a server uses the version.

    Raises:
        Gone, Conflict: the version is not in service.
        NotFound: it was published before versions had probes.
    """
    check_servable(version)
    if version.probe is None:
        raise NotFound(
            "The version was published before versions had probes.",
            field="version",
            fix="Rebuild the line: the new version has one.",
            code="no-probe",
        )
    return Probe.model_validate(version.probe)
