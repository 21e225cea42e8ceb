"""A Node server's tracer and cprof send to the same real collector: hundreds of interleaved requests of
known work, each of whose samples has to carry the span that the tracer exported for it."""

import collections
import importlib.util
import re

import pytest
from gates import locked

import collector
import otlp_json
import traced

# 300 requests, 60 at a time, of work 1 : 2 : 4 in five pieces between which the others run. Each works in
# a function of its own, whose name tells in a stack which request it is. What housekeeping() does
# is in no span.
PROGRAM = """
const fs = require('node:fs')
const http = require('node:http')
const { trace } = require('@opentelemetry/api')
const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-http')
const { OTLPMetricExporter } = require('@opentelemetry/exporter-metrics-otlp-http')
const { MeterProvider, PeriodicExportingMetricReader } = require('@opentelemetry/sdk-metrics')
const { BatchSpanProcessor, NodeTracerProvider } = require('@opentelemetry/sdk-trace-node')
const exemplars = require('cprof/exemplars')

const provider = new NodeTracerProvider({ spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())] })
provider.register()
const tracer = trace.getTracer('shop')
const exporter = new OTLPMetricExporter()
const meters = new MeterProvider({ readers: [new PeriodicExportingMetricReader({ exporter })] })
if (!exemplars(meters, exporter)) process.exit(1)
const duration = meters.getMeter('shop').createHistogram('request.duration', { unit: 'ms' })

// This thread's CPU time in ms; asking for the process's brings it up to date.
const used = fs.openSync('/proc/thread-self/schedstat')
const digits = Buffer.alloc(64)
function cpu () {
  process.cpuUsage()
  fs.readSync(used, digits, 0, 64, 0)
  return Number(digits.latin1Slice(0, digits.indexOf(' '))) / 1e6
}
let sink = 0
function burn (ms) { for (const end = cpu() + ms; cpu() < end;) for (let i = 0; i < 20000; i++) sink += i }
const working = name => new Function('burn', `return function work_${name} (ms) { burn(ms) }`)(burn)
const pause = () => new Promise(resolve => setTimeout(resolve, 1))
function housekeeping () { burn(1) }

const server = http.createServer((request, response) => {
  const name = request.url.slice(1)
  const work = working(name)
  const began = performance.now()
  tracer.startActiveSpan(name, async span => {
    for (let i = 0; i < 5; i++) { work(2 * Number(name.split('_')[1])); await pause() }
    duration.record(performance.now() - began, { work: name.split('_')[1] })
    span.end()
    response.end()
  })
})
const get = name => new Promise((resolve, reject) => http.get({ port: server.address().port, path: '/' + name, agent: false },
  response => response.resume().on('end', resolve)).on('error', reject))
const keeping = setInterval(housekeeping, 10)
server.listen(0, '127.0.0.1', async () => {
  // Those of a batch have the same work: what runs from one tick of the kernel to the next counts to
  // where the second finds it.
  for (let batch = 0; batch < 6; batch++) {
    await Promise.all(Array.from({ length: 50 }, (_, i) => get(`r${batch * 50 + i}_${1 << batch % 3}`)))
  }
  clearInterval(keeping)
  server.close()
  await provider.shutdown()
  await meters.shutdown()
})
"""


def run_all():
    """What builds the addon and gets Nodes and packages for the tests of Node."""
    place = collector.ROOT / "tests/node/run_all.py"
    spec = importlib.util.spec_from_file_location("run_all_node", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def addon():
    """Where Node finds cprof."""
    with locked(collector.ROOT / "bindings/node"):
        return run_all().prepare()


@pytest.fixture(scope="module")
def modules(addon):
    """Where cprof and OpenTelemetry are found."""
    packages = run_all().prepare_packages()
    if not (packages / "@opentelemetry/exporter-trace-otlp-http").exists():
        pytest.skip("no OpenTelemetry packages from npm")
    return f"{addon}:{packages}"


# By V8's slot, and by async hooks.
@pytest.fixture(scope="module", params=[("24", "off"), ("20", "on")], ids=["24", "20-hooks"])
def received(request, modules, tmp_path_factory):
    version, hooks = request.param
    try:
        node = run_all().npm_node(version)
    except (RuntimeError, OSError) as error:
        pytest.skip(f"no Node {version}: {str(error).splitlines()[-1]}")
    folder = tmp_path_factory.mktemp("spans")
    program = folder / "shop.js"
    program.write_text(PROGRAM)
    return traced.run(folder, [node, "-r", "cprof/auto", program], NODE_PATH=modules,
                      CPROF_ASYNC_HOOKS=hooks)


def work_of(names):
    """The request in whose work a stack is, or None."""
    found = [name[5:] for name in names if re.fullmatch(r"work_r\d+_\d", name)]
    return found[0] if found else None


def samples(received):
    return [sample for data in received[1] for sample in otlp_json.samples(data)]


def test_every_link_is_a_span_that_the_tracer_exported(received):
    exported = {(span["traceId"], span["spanId"]) for span in received[0]}
    assert len(exported) == 300
    linked = {link for _, link, _ in samples(received) if link}
    assert linked <= exported
    assert len(linked) > 150


def test_samples_inside_a_span_carry_exactly_that_span(received):
    spans = {span["name"]: (span["traceId"], span["spanId"]) for span in received[0]}
    right = collections.Counter()
    for names, link, count in samples(received):
        if request := work_of(names):
            right[link == spans[request]] += count
    assert right[True] > 1500
    assert right[False] <= 0.001 * right.total()


def test_exemplars_lead_from_histogram_to_trace_to_profile(received):
    traced.follow_exemplars(received, "request.duration", at_least=16)


def test_samples_outside_of_spans_carry_none(received):
    outside = [(link, count) for names, link, count in samples(received) if "housekeeping" in names]
    assert sum(count for _, count in outside) > 50
    assert all(link is None for link, _ in outside)


def test_requests_of_work_1_2_4_have_shares_of_1_2_4(received):
    kinds = {(span["traceId"], span["spanId"]): int(span["name"][-1]) for span in received[0]}
    shares = collections.Counter()
    for _, link, count in samples(received):
        if link:
            shares[kinds[link]] += count
    assert {kind: shares[kind] / shares.total() for kind in (1, 2, 4)} == pytest.approx(
        {1: 1 / 7, 2: 2 / 7, 4: 4 / 7}, abs=0.03)
