# frozen_string_literal: true

module Cprof
  # The part of following OpenTelemetry's spans that runs their code, which need not be the API's
  # own. It runs within the application's attach and detach, and when fibers switch: whatever
  # is raised here ends here, and an exception that is meant for the application (Timeout,
  # Thread#raise) waits until it is back in its own code.
  # @api private
  module Spans
    NO_SPAN_ID = ("\0" * 8).b.freeze
    private_constant :NO_SPAN_ID

    class << self
      # @return [String, nil, false] trace id and span id, 24 bytes; nil when there is no span,
      #   false when it can't be told
      def ids_of(context)
        harmless do
          span = OpenTelemetry::Trace.current_span(context).context
          span.trace_id.b + span.span_id.b if span.valid?
        end
      end

      # CPROF_SPAN_PROFILE_ID: a span that is this process's root learns in which profile it
      # began.
      #
      # @param before [Object, nil] the context that was active before
      # @param context [Object] the one that has become active
      # @param id [String] 16 bytes
      def tell_profile(before, context, id)
        harmless do
          span = OpenTelemetry::Trace.current_span(context)
          span.set_attribute("profile.id", id.unpack1("H*")) if unmarked?(span) && root?(span, before)
        end
      end

      # Runs the block, which is the application's code. False when it raises.
      #
      # @param failed [#call, nil] is given what it raises
      def harmless(failed = nil)
        Thread.handle_interrupt(Object => :never) do
          yield
        rescue Exception => e # rubocop:disable Lint/RescueException
          failed&.call(e)
          false
        end
      end

      private

      def unmarked?(span)
        span.recording? && !(span.respond_to?(:attributes) && span.attributes&.key?("profile.id"))
      end

      # Its parent is none, or in another process.
      def root?(span, before)
        return true if span.respond_to?(:parent_span_id) && span.parent_span_id == NO_SPAN_ID

        parent = before && OpenTelemetry::Trace.current_span(before).context
        parent.nil? || !parent.valid? || parent.remote?
      end
    end
  end
end
