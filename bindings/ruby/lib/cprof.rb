# frozen_string_literal: true

require_relative "cprof/version"
require_relative "cprof/extension"
require_relative "cprof/hooks"
require_relative "cprof/spans"

# An always-on profiler: one stack per sample, Ruby and native frames woven together.
#
#   Cprof.start(service_name: "checkout")
#
# What is not given here is taken from the environment; see docs/configuration.md.
module Cprof
  # A sentence about what is wrong with an argument or a variable.
  class Error < StandardError; end

  failure = Extension.load
  warn "cprof: #{failure}" if failure
  # Whether the extension is there: without it nothing is profiled, and nothing fails.
  AVAILABLE = failure.nil?

  autoload :Middleware, File.expand_path("cprof/middleware", __dir__)

  class << self
    # Starts profiling this process and those it forks. Where it runs already, by CPROF_ENABLED or `cprof run` or
    # another start, this one joins it: one line says so, and each {stop} gives a start back.
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
    # @raise [Error] when a value makes no sense, or in another Ractor than the main one
    def start(service_name: nil, rate: nil, types: nil, output: nil, exporter: nil,
              endpoint: nil, headers: nil, interval: nil, labels: nil, native: nil)
      AVAILABLE && Native.start({ service_name: service_name, rate: rate, types: types, output: output,
                                  exporter: exporter, endpoint: endpoint, headers: headers, interval: interval,
                                  labels: labels, native: native })
    end

    # Delivers what has been sampled so far.
    #
    # @param timeout [Numeric] seconds to wait at most
    # @return [Boolean] whether everything has been delivered
    def flush(timeout: 5.0)
      AVAILABLE && Native.flush(timeout)
    end

    # Gives a start back, and delivers what is there; the last one stops.
    #
    # @param timeout [Numeric] seconds to wait at most
    # @return [Boolean] whether everything has been delivered
    def stop(timeout: 5.0)
      AVAILABLE && Native.stop(timeout)
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

    # All threads now: state, what each waits for and since when, span, labels and stack. Threads that wait are not
    # disturbed. Where profiling is off it is on for that moment.
    #
    # @param format [String] "text" for people, "json" for programs, "pprof" for tools that read profiles
    # @return [String, nil] nil where there is no extension
    # @raise [Error] for another format
    def dump(format: "text")
      return unless AVAILABLE

      started = !running? && start(exporter: "none")
      begin
        page = Native.dump(format.to_s)
        format.to_s == "pprof" ? page : page.force_encoding(Encoding::UTF_8).scrub
      ensure
        stop if started
      end
    end

    # Profiles a block into a file: all that the process does meanwhile, beside what is profiled already. Blocks
    # may nest and run at once; those that name the same file share it.
    #
    # @param output [String] the file to write, its ending names the format
    # @param options what {start} takes besides, where nothing runs yet
    # @return what the block returns
    # @raise [Error] when a value makes no sense
    def profile(output, **options)
      return yield unless AVAILABLE

      captures = []
      begin
        Native.begin_capture(captures, options, output)
        yield
      ensure
        Native.end_captures(captures)
      end
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
  end

  if AVAILABLE
    Native.prepare(Extension.folder)
    Native.start_with_program(false) # with CPROF_ENABLED=1 a Gemfile's line is enough
  end
end
