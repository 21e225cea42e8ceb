# frozen_string_literal: true

module Cprof
  # Which route a request has taken: the label `http.route`, as OpenTelemetry's conventions have it.
  # It is the path that the application was written with (`/users/:id`), never the request's own, which
  # would make a label of every id in it. Where the application is mounted (SCRIPT_NAME) stands before it.
  #
  # Routers find it inside the application. So {Middleware} hooks what runs the action, in those frameworks
  # that are there: Sinatra's blocks and Rails' controllers. What fails here says so once, and the
  # application goes on without the label.
  # @api private
  module Routes
    # In a request's environment: the route that its action ran with.
    KEY = "cprof.http_route"

    # Anything else a client may have thought up: no label is made of it.
    METHODS = %w[CONNECT DELETE GET HEAD OPTIONS PATCH POST PUT TRACE].freeze
    private_constant :METHODS

    # Around the block of Sinatra's route.
    module Block
      private

      def route_eval(&block)
        Routes.labelled(-> { Routes.keep(env, Routes.of(env)) }) { super(&block) }
      end
    end

    # Around all that Sinatra does for a request. A body that is made later may be read by any middleware.
    module Call
      def call!(env)
        response = super
        Routes.body(response) { env }
      end
    end

    # Around all that a controller of Rails does for an action.
    module Dispatch
      def dispatch(*arguments, **options, &block)
        request = arguments[1]
        response = Routes.labelled(-> { Routes.keep(request.env, Routes.of_request(request)) }) do
          super(*arguments, **options, &block)
        end
        Routes.body(response) { request.env }
      end
    end

    class << self
      # Hooks the frameworks that have come since the last time.
      def follow
        follow_sinatra if !@sinatra && defined?(::Sinatra::Base)
        follow_rails if !@rails && defined?(::ActiveSupport) && ::ActiveSupport.respond_to?(:on_load)
      end

      # @return [String, nil] by what routers leave in a request's environment
      def of(env)
        sinatra = env["sinatra.route"] # "GET /users/:id"
        route = sinatra ? sinatra.to_s.split(" ", 2).last : env["action_dispatch.route_uri_pattern"]
        route && mounted(route, env)
      end

      # @param request [ActionDispatch::Request]
      # @return [String, nil]
      def of_request(request)
        return of(request.env) if request.respond_to?(:route_uri_pattern)

        route = recognize(request)
        route && mounted(route.path.spec.to_s, request.env)
      end

      # @return [String, nil] the route, as the request's environment has it from now on
      def keep(env, route)
        env[KEY] = route
      end

      # Runs the block, an action, with its route as label.
      #
      # @param route [#call] tells it
      def labelled(route, &action)
        found = Cprof.running? && Spans.harmless(method(:give_up), &route)
        found ? Cprof.labels("http.route": found, &action) : yield
      end

      # @param env [Hash] a request's environment
      # @return [Hash] the labels of what it runs, as far as they are known
      def labels_of(env)
        method = env["REQUEST_METHOD"]
        labels = { "http.request.method": METHODS.include?(method) ? method : "_OTHER" }
        route = env[KEY] || of(env)
        labels[:"http.route"] = route if route
        labels
      end

      # @yieldreturn [Hash] the request's environment
      # @return [Array] the response of an action, its body labelled with the action's route
      def body(response)
        return response unless Cprof.running?

        Spans.harmless(method(:give_up)) do
          env = yield
          env[KEY] ? Body.labelled(response) { labels_of(env) } : response
        end || response
      end

      # Puts the module around a method of the class that the block names.
      def hook(with, name)
        Spans.harmless(method(:give_up)) do
          into = yield
          into.instance_method(name) # a NameError where this version has another
          into.prepend(with)
        end
      end

      private

      def mounted(route, env)
        "#{env["SCRIPT_NAME"]}#{route.chomp("(.:format)")}"
      end

      # Rails before 7.1 does not tell: the first route that makes the same parameters of the request.
      # The request itself is left alone, as recognizing changes it.
      def recognize(request)
        parameters = request.path_parameters
        copy = request.class.new(request.env.dup)
        request.routes&.router&.recognize(copy) do |route, found|
          return route if found.all? { |name, value| parameters[name] == value }
        end
        nil
      end

      def follow_sinatra
        @sinatra = true
        hook(Block, :route_eval) { ::Sinatra::Base }
        hook(Call, :call!) { ::Sinatra::Base } if ::Sinatra::Base.method_defined?(:call!)
      end

      def follow_rails
        @rails = true
        Spans.harmless(method(:give_up)) do
          ::ActiveSupport.on_load(:action_controller) { Routes.hook(Dispatch, :dispatch) { ::ActionController::Metal } }
        end
      end

      def give_up(error)
        return if @told

        @told = true
        Spans.harmless { warn "cprof: http.route is not known: #{error.message.lines.first.to_s.strip}" }
      end
    end
  end
end
