# frozen_string_literal: true

module Cprof
  # Spans that are not as the OpenTelemetry API makes them: other tracers', or broken ones.
  module Spans
    # Runs within the application's attach and detach, and when fibers switch: whatever foreign
    # code does here ends here, and an exception that is meant for the application
    # (Timeout, Thread#raise) waits until it is back in its own code.
    #
    # @return [String, nil] trace id and span id, 24 bytes; nil when there is no span
    def self.ids_of(context)
      Thread.handle_interrupt(Object => :never) do
        span = OpenTelemetry::Trace.current_span(context).context
        span.trace_id.b + span.span_id.b if span.valid?
      rescue Exception # rubocop:disable Lint/RescueException
        false
      end
    end
  end
end
