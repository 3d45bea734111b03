"""Start the webhook sender: `python -m service.control.sender`. Any number may run."""

import signal
import threading

from service.control.relay import keep
from service.control.sender.sender import Sender
from service.egress.address import AddressPolicy
from service.egress.transport import guarded_client
from service.evidence.domain_certificate import DomainSigner
from service.flows.vault import vault_of
from service.logs import configure_logging
from service.settings import Settings
from service.store.database import Store
from service.webhooks.outbound.post import DEADLINE_S

PAUSE_S = 0.25


def main() -> None:
    settings = Settings()
    configure_logging(settings.log_level, process="sender")
    store = Store(settings.database_url)
    client = guarded_client(AddressPolicy.of(settings), deadline_s=DEADLINE_S)
    sender = Sender(store, vault_of(store, settings), client, DomainSigner.of(settings))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    keep(sender.send_due, stopped=stop.wait, pause_s=PAUSE_S, name="webhook sender", marks=settings.liveness_dir)
    sender.close()
    store.close()


if __name__ == "__main__":
    main()
