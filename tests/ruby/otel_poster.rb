# frozen_string_literal: true

require "json"
require "net/http"

# An exporter of spans, for the SDK and for the tests' double of it: posts them to an OTLP/HTTP server as JSON when it
# is shut down.
class OtelPoster
  SUCCESS = 0
  BATCH = 100

  def initialize(endpoint, service)
    @uri = URI("#{endpoint}/v1/traces")
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
      answer = Net::HTTP.post(@uri, JSON.generate(request(batch)), "Content-Type" => "application/json")
      raise "#{answer.code} #{answer.body}" unless answer.is_a?(Net::HTTPSuccess)
    end
    SUCCESS
  end

  private

  def request(spans)
    service = { key: "service.name", value: { stringValue: @service } }
    { resourceSpans: [{ resource: { attributes: [service] }, scopeSpans: [{ scope: { name: "shop" }, spans: spans }] }] }
  end

  def encode(span)
    { traceId: hex(span.trace_id), spanId: hex(span.span_id), name: span.name, kind: 2,
      startTimeUnixNano: span.start_timestamp.to_s, endTimeUnixNano: span.end_timestamp.to_s }
  end

  def hex(id) = id.unpack1("H*")
end
