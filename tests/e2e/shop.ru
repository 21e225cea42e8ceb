# frozen_string_literal: true

# A shop for test_spans_ruby.py: request n works one, two or four parts in a span and a method of its own. Its tracer is
# OpenTelemetry's own where CPROF_TEST_OTEL names a checkout of it, else the tests' double.

require_relative "../ruby/otel_poster"

POSTER = OtelPoster.new(ENV.fetch("OTEL_EXPORTER_OTLP_ENDPOINT"), "shop")
if ENV["CPROF_TEST_OTEL"]
  require "opentelemetry-sdk"
  OpenTelemetry::SDK.configure do |c|
    c.add_span_processor(OpenTelemetry::SDK::Trace::Export::SimpleSpanProcessor.new(POSTER))
  end
  at_exit { OpenTelemetry.tracer_provider.shutdown }
  require "opentelemetry-metrics-sdk"
  require "cprof/exemplars"
  reader = OpenTelemetry::SDK::Metrics::Export::InMemoryMetricPullExporter.new
  meters = OpenTelemetry::SDK::Metrics::MeterProvider.new
  meters.add_metric_reader(reader)
  DURATION = meters.meter("shop").create_histogram("request.duration", unit: "ms")
  at_exit { reader.pull && POSTER.post_histograms(reader.metric_snapshots) }
else
  require_relative "../ruby/otel_double"
  OpenTelemetry::Trace.exporter = POSTER
  at_exit { POSTER.shutdown }
end
TRACER = OpenTelemetry.tracer_provider.tracer("shop")

def cpu = Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID)

def spin(seconds)
  till = cpu + seconds
  i = 0
  i += 1 while i % 1000 != 0 || cpu < till
end

# Other threads' requests run in between.
def parts(count) = count.times { spin(0.004) && Thread.pass }
def outside = spin(0.002)

REQUESTS = Integer(ENV.fetch("REQUESTS"))
REQUESTS.times { |n| eval "def request_#{n}(count) = parts(count)", binding, __FILE__, __LINE__ }

# Those that are served at once have the same work: what runs from one tick of the kernel to the next
# counts to where the second finds it.
run(lambda do |env|
  outside
  n = env["PATH_INFO"][/\d+/]
  if n
    TRACER.in_span("request_#{n}") do
      send(:"request_#{n}", 3 * 2**(n.to_i * 3 / REQUESTS))
      DURATION.record(n.to_i, attributes: { "kind" => n.to_i * 3 / REQUESTS }) if defined?(DURATION)
    end
  end
  [200, { "content-type" => "text/plain" }, ["done #{n}"]]
end)
