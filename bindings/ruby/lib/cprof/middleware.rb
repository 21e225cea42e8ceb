# frozen_string_literal: true

require_relative "../cprof"

module Cprof
  # Rack middleware that labels what a request runs with its method, and with its route where the
  # router has been there before:
  #
  #   use Cprof::Middleware
  #
  # The route is what the router says (`sinatra.route`, `action_dispatch.route_uri_pattern`):
  # the path itself would make a label of every id in it.
  class Middleware
    # Where routers leave the route in a request's environment; the first one there is taken.
    ROUTES = %w[action_dispatch.route_uri_pattern sinatra.route].freeze

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
      Cprof.labels(**labels_of(env)) { @app.call(env) }
    end

    private

    def labels_of(env)
      labels = { "http.request.method": env["REQUEST_METHOD"].to_s }
      route = ROUTES.filter_map { |key| env[key] }.first
      labels[:"http.route"] = route.to_s if route
      labels
    end
  end
end
