# frozen_string_literal: true

require_relative "cprof/extension"
require_relative "cprof/hooks"
require_relative "cprof/spans"
require_relative "cprof/version"

# An always-on profiler: one stack per sample, Ruby and native frames woven together.
#
#   Cprof.start(service_name: "checkout")
#
# What is not given here is taken from the environment; see docs/configuration.md.
module Cprof
  # How long a program may be kept at its end to deliver the last profile.
  EXIT_SECONDS = 2.0

  # A sentence about what is wrong with an argument or a variable.
  class Error < StandardError; end

  failure = Extension.load
  warn "cprof: #{failure}" if failure
  # Whether the extension is there: without it nothing is profiled, and nothing fails.
  AVAILABLE = failure.nil?

  autoload :Middleware, File.expand_path("cprof/middleware", __dir__)

  class << self
    # Starts profiling this process and those it forks.
    #
    # @param service_name [String, nil] what the service is called (OTEL_SERVICE_NAME)
    # @param rate [Integer, nil] samples per second of CPU time and thread
    # @param types [Array<String>, nil] what to profile: "cpu"
    # @param output [String, nil] the file to write, its ending names the format
    # @param exporter [String, Array<String>, nil] "otlp", "file", "none", …
    # @param endpoint [String, nil] the server's URL
    # @param headers [Hash, nil] sent with every profile
    # @param interval [Float, nil] seconds between exports
    # @param labels [Hash, nil] put on every sample
    # @param native [Boolean, nil] whether native frames are shown
    # @return [Boolean] false when OTEL_SDK_DISABLED forbids it or there is no extension
    # @raise [Error] when it is running already, a value makes no sense, or in another Ractor than the main one
    def start(service_name: nil, rate: nil, types: nil, output: nil, exporter: nil,
              endpoint: nil, headers: nil, interval: nil, labels: nil, native: nil)
      return false unless AVAILABLE
      raise Error, "Cprof.start: only in the main Ractor" unless Ractor.current == Ractor.main

      run([text("service_name", service_name), list("types", types), positive("rate", rate),
           positive("interval", interval), list("exporter", exporter), text("endpoint", endpoint),
           text("output", output), pairs("headers", headers), pairs("labels", labels),
           native.nil? ? nil : (native ? "on" : "off"), pairs("resource", resource), Extension.folder])
    end

    # Delivers what has been sampled so far.
    #
    # @param timeout [Numeric] seconds to wait at most
    # @return [Boolean] whether everything has been delivered
    def flush(timeout: 5.0)
      AVAILABLE && Native.flush(Float(timeout))
    end

    # Stops, and delivers what is there.
    #
    # @param timeout [Numeric] seconds to wait at most
    # @return [Boolean] whether everything has been delivered
    def stop(timeout: 5.0)
      AVAILABLE && Native.stop(Float(timeout))
    end

    # @return [Boolean] whether this process is being profiled
    def running?
      AVAILABLE && Native.running?
    end

    # What cprof tells of itself; all zero before the first start.
    # @return [Hash{Symbol => Integer}]
    def stats
      AVAILABLE ? Native.stats : {}
    end

    # Profiles a block into a file.
    #
    # @param output [String] the file to write, its ending names the format
    # @param options what {start} takes besides
    # @return what the block returns
    # @raise [Error] when it is running already or a value makes no sense
    def profile(output, **options)
      mine = false
      # What other threads raise (Timeout) comes before, or in the block, or when all is stopped.
      Thread.handle_interrupt(Object => :never) { mine = start(output: output, **options) }
      yield
    ensure
      Thread.handle_interrupt(Object => :never) { stop } if mine
    end

    # Puts labels on what the block runs in this fiber, in addition to those around it.
    #
    #   Cprof.labels(endpoint: "/users") { render }
    #
    # @param labels [Hash{Symbol => Object}] shown by their `to_s`
    # @return what the block returns
    def labels(**labels)
      return yield unless AVAILABLE

      outer = Native.current_labels
      begin
        # Ruby may raise what another thread has sent when this is done, but has not returned.
        Native.enter_labels(labels)
        yield
      ensure
        Native.leave_labels(outer)
      end
    end

    private

    LABEL_CHARACTERS = 255
    private_constant :LABEL_CHARACTERS

    # Called by Native.enter_labels for labels that it does not remember.
    def make_labels(outer, labels)
      merged = (outer&.to_h || {}).merge(labels).freeze
      Native::Labels.new(outer, merged, texts(merged))
    end

    # Keys and values one after the other, in an order of their own: equal labels are one set. Of keys with
    # the same text the last holds.
    def texts(labels)
      labels.to_h { |key, value| [label_text(key), label_text(value)] }.sort.flatten
    end

    # The beginning of a label's text, as UTF-8 without NUL. Whatever it is made of, labelling
    # does the application no harm.
    def label_text(value)
      text = plain_text(value)
      return text if text && text.size < LABEL_CHARACTERS && text.ascii_only? && !text.include?("\0")

      Spans.harmless { mended_text(text || value.to_s) } || "?"
    end

    # Of what runs no code of the application's for it; else nil.
    def plain_text(value)
      case value
      when Symbol then value.name
      when Integer, TrueClass, FalseClass, NilClass then value.to_s
      when String then value if value.instance_of?(String)
      end
    end

    def mended_text(text)
      text[0, LABEL_CHARACTERS].encode(Encoding::UTF_8, invalid: :replace, undef: :replace).scrub.tr("\0", "?")
    end

    # Starts, and does what belongs to it whatever other threads raise meanwhile (Timeout): that waits.
    def run(arguments)
      number, message = Thread.handle_interrupt(Object => :never) do
        prepare
        Native.start(*arguments).tap { |failure| Hooks.tell_names unless failure }
      end
      return true unless number
      return false if number == Errno::ECANCELED::Errno

      raise Error, message
    end

    def prepare
      Hooks.stop_at_exit
      return if @prepared

      @prepared = true
      reason = Native.prepare
      warn "cprof: #{reason}" if reason
      Hooks.install
    end

    def text(name, value)
      return if value.nil?

      text = value.to_s
      text = text.encode(Encoding::UTF_8) unless text.encoding.ascii_compatible?
      raise Error, "#{name}=#{text.dump}: a text without NUL is needed" if text.include?("\0")

      text
    rescue EncodingError => e
      raise Error, "#{name}: #{e.message}"
    end

    def list(name, value)
      value && text(name, Array(value).join(","))
    end

    # Zero tells the engine to take its default; asked for by a caller it is a mistake.
    def positive(name, value)
      return value if value.nil? || (value.is_a?(Numeric) && value.real? && value.positive? && value < 2**31)

      raise Error, "#{name}=#{value.inspect}: a number above 0 is needed"
    end

    def pairs(name, hash)
      raise Error, "#{name}=#{hash.inspect}: a Hash is needed" unless hash.nil? || hash.respond_to?(:to_hash)

      (hash || {}).to_hash.map { |key, value| [text(name, key.to_s), text(name, value.to_s)] }
    end

    def resource
      { "process.runtime.name" => RUBY_ENGINE, "process.runtime.version" => RUBY_VERSION,
        "process.runtime.description" => RUBY_DESCRIPTION, "telemetry.sdk.language" => "ruby" }
    end
  end
end
