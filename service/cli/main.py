"""The `lethe` command.

Exit codes: 0 done, or verified; 1 the request or run failed or needs attention, or what was to be verified does not
hold; 2 the call was wrong or refused.
"""

import typer

from service.cli.commands.accept import accept
from service.cli.commands.agent import agent
from service.cli.commands.audit import audit
from service.cli.commands.bench import bench
from service.cli.commands.canary import canary
from service.cli.commands.correct import correct
from service.cli.commands.datasets import datasets, upload
from service.cli.commands.decisions import approve, cancel, extend, hold, reject, release, retry
from service.cli.commands.down import down
from service.cli.commands.fetch import fetch
from service.cli.commands.forget import forget
from service.cli.commands.inbound import inbound
from service.cli.commands.keys import keys
from service.cli.commands.manifest import manifest
from service.cli.commands.policy import policy
from service.cli.commands.report import report
from service.cli.commands.retire import retire
from service.cli.commands.roll_forward import roll_forward
from service.cli.commands.servers import servers
from service.cli.commands.signing_keys import signing_keys
from service.cli.commands.status import status
from service.cli.commands.summary import summary
from service.cli.commands.train import import_adapter, train
from service.cli.commands.unlearning import submit
from service.cli.commands.up import up
from service.cli.commands.verify import verify
from service.cli.commands.versions import alias, rebuild, versions
from service.cli.commands.webhooks import webhooks

app = typer.Typer(
    name="lethe",
    help="Make LoRA-tuned language models forget.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

app.command()(up)
app.command()(down)
app.command()(upload)
app.command()(datasets)
app.command()(train)
app.command("import")(import_adapter)
app.command()(forget)
app.command()(correct)
app.command()(submit)
app.command()(approve)
app.command()(reject)
app.command()(cancel)
app.command()(hold)
app.command()(release)
app.command()(extend)
app.command()(retry)
app.command()(accept)
app.command()(status)
app.command()(report)
app.command()(summary)
app.command()(versions)
app.command()(policy)
app.command()(rebuild)
app.command()(alias)
app.command()(retire)
app.add_typer(canary, name="canary")
app.command("roll-forward")(roll_forward)
app.command()(fetch)
app.command()(manifest)
app.command()(agent)
app.command()(verify)
app.add_typer(audit, name="audit")
app.add_typer(servers, name="servers")
app.add_typer(keys, name="keys")
app.add_typer(signing_keys, name="signing-keys")
app.add_typer(inbound, name="inbound")
app.add_typer(webhooks, name="webhooks")
# Its options belong to the workers' side, which this command only starts.
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})(
    bench
)

if __name__ == "__main__":
    app()
