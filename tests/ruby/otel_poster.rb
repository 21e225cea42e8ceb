# frozen_string_literal: true

require "json"
require "net/http"

# An exporter of spans, for the SDK and for the tests' double of it: posts them to an OTLP/HTTP server as JSON when it
# is shut down.
class OtelPoster
  SUCCESS = 0
  BATCH = 100

  def initialize(endpoint, service)
    @endpoint = endpoint
    @service = service
    @spans = Queue.new
  end

  def export(spans, **)
    spans.each { |span| @spans << span }
    SUCCESS
  end

  def force_flush(**) = SUCCESS

  def shutdown(**)
    spans = Array.new(@spans.size) { encode(@spans.pop) }
    spans.each_slice(BATCH) do |batch|
      post("traces", { resourceSpans: [{ resource: resource, scopeSpans: [{ scope: scope, spans: batch }] }] })
    end
    SUCCESS
  end

  # Histograms of the metrics SDK.
  def post_histograms(metrics)
    written = metrics.map do |metric|
      points = metric.data_points.map { |point| encode_point(point) }
      { name: metric.name, histogram: { aggregationTemporality: 2, dataPoints: points } }
    end
    post("metrics", { resourceMetrics: [{ resource: resource, scopeMetrics: [{ scope: scope, metrics: written }] }] })
  end

  private

  def post(signal, request)
    answer = Net::HTTP.post(URI("#{@endpoint}/v1/#{signal}"), JSON.generate(request), "Content-Type" => "application/json")
    raise "#{answer.code} #{answer.body}" unless answer.is_a?(Net::HTTPSuccess)
  end

  def resource = { attributes: attributes({ "service.name" => @service }) }
  def scope = { name: "shop" }
  def attributes(pairs) = pairs.map { |key, value| { key: key, value: { stringValue: value.to_s } } }

  def encode_point(point)
    { timeUnixNano: point.time_unix_nano.to_s, count: point.count.to_s, sum: point.sum, attributes: attributes(point.attributes),
      bucketCounts: point.bucket_counts.map(&:to_s), explicitBounds: point.explicit_bounds,
      exemplars: point.exemplars.map { |exemplar| encode_exemplar(exemplar) } }
  end

  def encode_exemplar(exemplar)
    { timeUnixNano: exemplar.time_unix_nano.to_s, asDouble: exemplar.value, traceId: hex(exemplar.trace_id),
      spanId: hex(exemplar.span_id), filteredAttributes: attributes(exemplar.filtered_attributes) }
  end

  def encode(span)
    { traceId: hex(span.trace_id), spanId: hex(span.span_id), name: span.name, kind: 2,
      startTimeUnixNano: span.start_timestamp.to_s, endTimeUnixNano: span.end_timestamp.to_s }
  end

  def hex(id) = id.unpack1("H*")
end
