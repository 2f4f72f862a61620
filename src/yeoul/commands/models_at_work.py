"""What ``yeoul models`` does."""

import sys

import typer

from yeoul.commands.session import quiet
from yeoul.commands.terminal import CANCELED, console, print_json, print_table, run, say
from yeoul.core.llm import weights
from yeoul.core.llm.catalogue import Catalogue
from yeoul.core.llm.gateway import Gateway
from yeoul.core.llm.progress import shown
from yeoul.core.llm.schemas import Completed, CompletionRequest, ModelInfo, Parameters
from yeoul.settings import Settings

_MEGABYTE = 1_000_000


def listing(settings: Settings, *, as_json: bool) -> None:
    """Prints every model, and what weights there are for the local one."""
    models = Catalogue(settings).models()
    if as_json:
        print_json([model.model_dump(mode="json") for model in models])
        return
    print_table(("model", "context", "$/M in", "$/M out", ""), [_row(model) for model in models])
    out = console(stderr=False)
    out.print()
    for reason in dict.fromkeys(model.reason for model in models if model.reason is not None):
        out.print(reason, markup=False, style="dim")
    out.print(f"\nWeights for the local model (YEOUL_LOCAL_MODEL), in {settings.weights_dir}:", markup=False)
    for known in weights.CATALOGUE.values():
        state = "downloaded" if weights.missing(known.name, settings.weights_dir) is None else "not downloaded"
        size = f"{known.size / _MEGABYTE:,.0f} MB"
        out.print(f"  {known.name:<19} {size:>9}  {known.license}, {state}: {known.note}", markup=False)


def pull(settings: Settings, name: str | None) -> None:
    """Downloads weights, and prints where they lie."""
    name = name or settings.local_model
    try:
        with shown(name) as report:
            path = weights.pull(name, settings.weights_dir, report, hub_url=settings.hub_url)
    except KeyboardInterrupt:
        say("Stopped. The next `yeoul models pull` goes on from here.")
        raise typer.Exit(CANCELED) from None
    sys.stdout.write(f"{path}\n")


def try_model(settings: Settings, model: str, question: str) -> None:
    """Asks a model without a job, and says how quick it was."""
    quiet(settings)
    run(_ask(settings, model, question))


async def _ask(settings: Settings, model: str, question: str) -> None:
    gateway = Gateway(settings)
    try:
        request = CompletionRequest.ask(question, model=model, parameters=Parameters(max_tokens=200))
        async for item in gateway.stream(request):
            if isinstance(item, Completed):
                typer.echo()
                _sum_up(item)
            else:
                typer.echo(item.text, nl=False)
    finally:
        await gateway.aclose()


def _row(model: ModelInfo) -> tuple[str, ...]:
    return (
        model.id,
        f"{model.context:,}" if model.context else "?",
        str(model.prices.input) if model.prices else "?",
        str(model.prices.output) if model.prices else "?",
        ("ready" if model.available else "not ready") + (", default" if model.default else ""),
    )


def _sum_up(done: Completed) -> None:
    words = [done.model, f"{done.time_ms / 1000:.2f} s"]
    if done.first_token_ms is not None:
        words.append(f"first text after {done.first_token_ms / 1000:.2f} s")
    if done.usage is not None:
        words.append(f"{done.usage.input_tokens} tokens in, {done.usage.output_tokens} out")
        seconds = (done.time_ms - (done.first_token_ms or 0)) / 1000
        if seconds > 0:
            words.append(f"{done.usage.output_tokens / seconds:.0f} tokens/s")
    words.append("price unknown" if done.cost.usd is None else f"${done.cost.usd}")
    say(" · ".join(words), "dim")
