# frozen_string_literal: true

require "cprof"

module Cprof
  # Exemplars of OpenTelemetry's metrics SDK name the profile of their time: require "cprof/exemplars" once, after the
  # SDK. Each has the attribute profile.id, the profile_id of the OTLP profile that ran when its value was recorded,
  # beside the trace and span that the SDK gives it.
  module Exemplars
    # Before a reservoir's own offer: what the point has no attribute for, the exemplar keeps.
    module Named
      def offer(value: nil, timestamp: nil, attributes: nil, context: nil)
        profile = AVAILABLE ? Native.profile_id : nil
        attributes = { **(attributes || {}), "profile.id" => profile } if profile
        super(value: value, timestamp: timestamp, attributes: attributes, context: context)
      end
    end

    NAMES = %i[AlignedHistogramBucketExemplarReservoir SimpleFixedSizeExemplarReservoir].freeze
    PARAMETERS = %i[value timestamp attributes context].freeze

    # @return [String, nil] why exemplars stay as they are
    def self.install(sdk)
      reservoirs = NAMES.filter_map { |name| sdk::Exemplar.const_get(name) if sdk::Exemplar.const_defined?(name) }
      taken = reservoirs.map { |reservoir| reservoir.instance_method(:offer).parameters.map(&:last) }
      return "this opentelemetry-metrics-sdk has other reservoirs" if taken.empty? || taken.any? { |names| names != PARAMETERS }

      reservoirs.each { |reservoir| reservoir.prepend(Named) }
      nil
    end

    reason = defined?(OpenTelemetry::SDK::Metrics::Exemplar) ? install(OpenTelemetry::SDK::Metrics) : "load opentelemetry-metrics-sdk (0.13 or newer) before cprof/exemplars"
    warn "cprof: exemplars name no profile: #{reason}" if reason
  end
end
