"""`python -m bench` (`make bench`): the shipped gateway under load, beside the provider asked directly.

The gateway's processes share one core, load generator and fake provider the other. What is printed as verified was
counted three times: by the generator, by the provider and by the ledger; and the key's spend moved by exactly the price
of those calls. Before that, what each wire costs by itself. Exit status 1 when anything did not add up.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from bench import admission, report, wires
from bench.gateway import SHAPES, Gateway
from bench.measure import cpu_seconds, pss_megabytes
from bench.processes import FakeProvider, can_pin, run_load
from bench.scenarios import COST_NANO_USD, SCENARIOS, Scenario

_WARM_UP_SECONDS = 1.0
# Entries and settlements are batched behind the calls; they are due within a second.
_SETTLING_SECONDS = 10.0


def main() -> None:
    """Run what was asked for; print one table a shape."""
    names = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--shape", choices=[*SHAPES, "both"], default="both")
    parser.add_argument(
        "--only", default="", help="scenarios, comma-separated: " + ", ".join(s.name for s in SCENARIOS)
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="of each scenario (default: %(default)s)")
    arguments = parser.parse_args()
    wanted = arguments.only.split(",") if arguments.only else names
    if unknown := set(wanted) - set(names):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in wanted]
    print(report.machine(pinned=can_pin()))
    wires.main()
    shapes = SHAPES if arguments.shape == "both" else (arguments.shape,)
    holds = [measure_admissions(), *(measure_shape(shape, scenarios, arguments.seconds) for shape in shapes)]
    sys.exit(0 if all(holds) else 1)


def measure_admissions() -> bool:
    """What a keystore's part costs by itself; whether everything that was counted agreed."""
    provider = FakeProvider()
    try:
        gateway = Gateway("split", provider.port)
        try:
            return asyncio.run(admission.measure(gateway))
        finally:
            gateway.stop()
    finally:
        provider.stop()


def measure_shape(shape: str, scenarios: list[Scenario], seconds: float) -> bool:
    """Measure one shape; whether everything that was counted agreed."""
    provider = FakeProvider()
    try:
        gateway = Gateway(shape, provider.port)
        try:
            print(report.opening(shape, gateway.cold_start_ms, pss_megabytes(gateway.roots)))
            holds = True
            for scenario in scenarios:
                result = measure(scenario, gateway, provider, seconds)
                print(report.row(result), flush=True)
                holds = holds and not result.faults
            print(report.closing(pss_megabytes(gateway.roots)), flush=True)
            return holds
        finally:
            gateway.stop()
    finally:
        provider.stop()


def measure(scenario: Scenario, gateway: Gateway, provider: FakeProvider, seconds: float) -> report.Result:
    """One scenario: directly, then through the gateway, then the count."""
    direct = run_load(scenario, provider.port, "sk-fake", scenario.model, seconds)
    seen_before, spend_before = provider.stats().requests, gateway.spend_nano_usd()
    entries_before = asyncio.run(gateway.entries())
    warm_up = run_load(scenario, gateway.port, gateway.key, scenario.group, _WARM_UP_SECONDS)
    cpu_before = cpu_seconds(gateway.roots)
    outcome = run_load(scenario, gateway.port, gateway.key, scenario.group, seconds)
    calls = warm_up.finished + outcome.finished
    entries, spent = _settled(gateway, entries_before + calls, spend_before + calls * COST_NANO_USD)
    cpu_after = cpu_seconds(gateway.roots)
    counts = report.Counts(
        finished=calls,
        seen=provider.stats().requests - seen_before,
        entries=entries - entries_before,
        spent_nano_usd=spent - spend_before,
        expected_nano_usd=calls * COST_NANO_USD,
        failed=warm_up.failed + outcome.failed,
        failures=warm_up.failures + outcome.failures,
    )
    cpu = {part: cpu_after[part] - cpu_before.get(part, 0.0) for part in cpu_after}
    return report.Result(scenario.name, direct, outcome, cpu, counts)


def _settled(gateway: Gateway, entries_wanted: int, spend_wanted: int) -> tuple[int, int]:
    """Entries and spend once they are what they should be, or after the time in which they should have been."""
    latest = time.monotonic() + _SETTLING_SECONDS
    while True:
        entries, spent = asyncio.run(gateway.entries()), gateway.spend_nano_usd()
        if (entries, spent) == (entries_wanted, spend_wanted) or time.monotonic() > latest:
            return entries, spent
        time.sleep(0.2)


if __name__ == "__main__":
    main()
