# frozen_string_literal: true

# Stands in for the OpenTelemetry API and SDK where the gems are not installed: as much of them
# as tracing a request takes, with the names, the storage and the instance variables that the
# real ones have. CPROF_TEST_OTEL_STORAGE says where a fiber's stack of contexts is kept: "fiber"
# as from 1.5 on, "thread" as before.
module OpenTelemetry
  class << self
    def tracer_provider = Trace::TracerProvider.new
    def handle_error(exception: nil) = warn(exception.message)
  end

  Fiber.attr_accessor :opentelemetry_context if ENV["CPROF_TEST_OTEL_STORAGE"] != "thread"

  # Immutable entries; the class keeps a stack of them for every fiber.
  class Context
    Key = Class.new { def initialize(name) = @name = name }

    class << self
      def create_key(name) = Key.new(name)
      def current = stack.last || ROOT
      def value(key) = current.value(key)

      def attach(context)
        stack.push(context)
        stack.size
      end

      def detach(token)
        matched = stack.size == token
        OpenTelemetry.handle_error(exception: RuntimeError.new("detach does not match")) unless matched
        stack.pop
        matched
      end

      def with_current(context)
        token = attach(context)
        yield context
      ensure
        detach(token)
      end

      def with_value(key, value, &block)
        with_current(current.set_value(key, value)) { |context| block.call(context, value) }
      end

      if ENV["CPROF_TEST_OTEL_STORAGE"] == "thread"
        def clear = stack.clear

        private

        def stack = Thread.current[:__opentelemetry_context_storage__] ||= []
      else
        def clear = Fiber.current.opentelemetry_context = []

        private

        def stack = Fiber.current.opentelemetry_context ||= []
      end
    end

    def initialize(entries) = @entries = entries.freeze
    def value(key) = @entries[key]
    def set_value(key, value) = Context.new(@entries.merge(key => value))

    ROOT = new({})
  end

  # Spans and what makes them.
  module Trace
    extend self

    CURRENT_SPAN_KEY = Context.create_key("current-span")
    private_constant :CURRENT_SPAN_KEY

    def current_span(context = nil)
      (context || Context.current).value(CURRENT_SPAN_KEY) || Span::INVALID
    end

    def context_with_span(span, parent_context: Context.current) = parent_context.set_value(CURRENT_SPAN_KEY, span)
    def with_span(span) = Context.with_value(CURRENT_SPAN_KEY, span) { |context, s| yield s, context }

    # Of which the first bit means sampled.
    class TraceFlags
      def initialize(flags) = @flags = flags
      SAMPLED = new(1)
    end

    # The ids, as binary strings.
    class SpanContext
      attr_reader :trace_id, :span_id, :trace_flags

      def initialize(trace_id: Random.bytes(16), span_id: Random.bytes(8), trace_flags: TraceFlags::SAMPLED, remote: false)
        @trace_id = trace_id
        @span_id = span_id
        @trace_flags = trace_flags
        @remote = remote
      end

      def remote? = @remote

      def hex_trace_id = trace_id.unpack1("H*")
      def hex_span_id = span_id.unpack1("H*")
      def valid? = trace_id != "\0" * 16 && span_id != "\0" * 8

      INVALID = new(trace_id: "\0" * 16, span_id: "\0" * 8)
    end

    class << self
      attr_accessor :exporter # of spans that finish, or nil
    end

    # What applications and exporters see of a span.
    class Span
      attr_reader :context, :attributes, :parent_span_id, :name, :start_timestamp, :end_timestamp

      def initialize(span_context: nil, parent_span_id: "\0" * 8, name: "")
        @context = span_context || SpanContext.new
        @attributes = {}
        @parent_span_id = parent_span_id
        @name = name
        @start_timestamp = Span.now
      end

      def self.now = Process.clock_gettime(Process::CLOCK_REALTIME, :nanosecond)
      def trace_id = context.trace_id
      def span_id = context.span_id

      def recording? = context.valid? && !context.remote?

      def set_attribute(key, value) = tap { @attributes[key] = value }

      def finish
        @end_timestamp = Span.now
        Trace.exporter&.export([self])
        self
      end

      INVALID = new(span_context: SpanContext::INVALID)
    end

    # Makes spans as children of the current one.
    class Tracer
      def start_span(name, with_parent: nil, **)
        parent = Trace.current_span(with_parent).context
        context = parent.valid? ? SpanContext.new(trace_id: parent.trace_id) : SpanContext.new
        Span.new(span_context: context, parent_span_id: parent.span_id, name: name)
      end

      def start_root_span(*, **) = Span.new

      def in_span(name, **)
        span = start_span(name)
        Trace.with_span(span) { |s, context| yield s, context }
      ensure
        span&.finish
      end
    end

    TracerProvider = Class.new { def tracer(*) = Tracer.new }
  end
end
