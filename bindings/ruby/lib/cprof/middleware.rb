# frozen_string_literal: true

require_relative "../cprof"
require_relative "body"
require_relative "routes"

module Cprof
  # Rack middleware that labels what a request runs with its method, and what its action runs with its
  # route ({Routes}), where Sinatra or Rails or a router before the middleware tells it:
  #
  #   use Cprof::Middleware
  class Middleware
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
      response = Cprof.labels(**Routes.labels_of(env)) { @app.call(env) }
      Body.labelled(response) { Routes.labels_of(env) }
    end
  end
end
