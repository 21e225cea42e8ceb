# frozen_string_literal: true

require_relative "../cprof"
require_relative "routes"

module Cprof
  # Rack middleware that labels what a request runs with its method, and what its action runs with its
  # route ({Routes}), where Sinatra or Rails or a router before the middleware tells it:
  #
  #   use Cprof::Middleware
  class Middleware
    # Anything else a client may have thought up: no label is made of it.
    METHODS = %w[CONNECT DELETE GET HEAD OPTIONS PATCH POST PUT TRACE].freeze
    private_constant :METHODS

    # A body that is made while the server asks for it: what that runs is the request's, too.
    # @api private
    class Body
      # @yieldreturn [Hash] the labels
      # @return [Array] the response with its body labelled, unless it is there already
      def self.labelled(response)
        return response unless response.is_a?(Array) && response.size == 3

        status, headers, body = response
        made = body.nil? || body.is_a?(Array) || body.respond_to?(:to_path)
        made ? response : [status, headers, new(body, yield)]
      end

      # @param body [#each, #call]
      # @param labels [Hash]
      def initialize(body, labels)
        @body = body
        @labels = labels
      end

      # Answers to what the body answers to.
      def respond_to_missing?(name, all = false)
        @body.respond_to?(name, all)
      end

      # What is called on the body runs within the labels.
      def method_missing(name, ...)
        Cprof.labels(**@labels) { @body.public_send(name, ...) }
      end
    end
    private_constant :Body

    @starting = Mutex.new
    @failed = false

    # Requests that come at once start it once; where it can't start they are answered all the same.
    # @api private
    def self.start
      @starting.synchronize do
        Cprof.start unless @failed || Cprof.running?
      rescue Error => e
        @failed = true
        warn "cprof: #{e.message}; requests are answered unprofiled"
      end
    end

    # @param app [#call]
    # @param start [Boolean] start the profiler with the first request of each process
    def initialize(app, start: false)
      @app = app
      @start = start
    end

    # Answers the request within its labels.
    #
    # @param env [Hash] the request, as Rack has it
    # @return what the application returns
    def call(env)
      Middleware.start if @start && !Cprof.running?
      return @app.call(env) unless Cprof.running?

      Routes.follow
      response = Cprof.labels(**labels_of(env)) { @app.call(env) }
      Body.labelled(response) { labels_of(env) }
    end

    private

    def labels_of(env)
      method = env["REQUEST_METHOD"]
      labels = { "http.request.method": METHODS.include?(method) ? method : "_OTHER" }
      route = env[Routes::KEY] || Routes.of(env)
      labels[:"http.route"] = route if route
      labels
    end
  end
end
