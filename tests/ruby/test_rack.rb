# frozen_string_literal: true

require_relative "helper"

# The middleware, with the frameworks themselves where they are installed.
class TestRack < CprofTest
  # Sends requests through the application in `app`; prints what every spot was labelled with.
  PRELUDE = <<~'RUBY'
    require "cprof"
    require "rack"
    require "rack/mock"
    $told = {}
    def tell(spot) = $told[spot] ||= Cprof::Native.current_labels.to_h.values_at(:"http.request.method", :"http.route")
    def start = Cprof.start(exporter: "none")
    def get(app, path) = Rack::MockRequest.new(app).get(path, lint: true)
    at_exit { $told.each { |spot, (method, route)| puts "#{spot} #{method} #{route}" } }
  RUBY

  def run_rack(program, gem: nil, environment: {})
    Gem::Specification.find_by_name(gem) if gem
    outcome = run_profiled(program, prelude: PRELUDE, environment: { "RUBYOPT" => nil, "CPROF_OUTPUT" => nil }.merge(environment))
    skip "#{gem} can't be loaded: #{outcome.errors[/.*LoadError.*/]}" if gem && outcome.errors.include?("LoadError")
    outcome
  rescue Gem::MissingSpecError
    skip "#{gem} is not installed"
  end

  def test_requests_are_labelled_with_what_is_known_when_they_come
    outcome = run_profiled(<<~RUBY, rate: 500)
      app = Cprof::Middleware.new(->(env) { spin(0.2); [200, {}, [env["PATH_INFO"]]] })
      p app.call("REQUEST_METHOD" => "GET", "PATH_INFO" => "/users/17", "sinatra.route" => "GET /users/:id")
    RUBY
    assert_clean outcome
    assert_equal %([200, {}, ["/users/17"]]), outcome.output.strip
    share = outcome.profile.share { |s| s.labels["http.route"] == "/users/:id" && s.labels["http.request.method"] == "GET" }
    assert_operator share, :>, 0.9
  end

  def test_requests_that_start_the_profiler_are_answered_whatever_comes_of_it
    program = <<~RUBY
      app = Cprof::Middleware.new(->(_) { 200 }, start: true)
      p Array.new(8) { Thread.new { app.call({}) } }.map(&:value).uniq, app.call({}), Cprof.running?
    RUBY
    good = run_rack(program, environment: { "CPROF_EXPORTER" => "none" })
    assert_clean good
    assert_equal %w[[200] 200 true], good.output.split
    bad = run_rack(program, environment: { "CPROF_RATE" => "often" })
    assert bad.status.success?, bad.errors
    assert_equal %w[[200] 200 false], bad.output.split
    assert_match(/\Acprof: .*CPROF_RATE.*; requests are answered unprofiled\n\z/, bad.errors)
  end

  SINATRA = <<~'RUBY'
    require "sinatra/base"
    class Shop < Sinatra::Base
      set :environment, :production
      set(:host_authorization, {}) if respond_to?(:host_authorization)
      get("/users/:id") { tell(:user); "user" }
      get("/halted/:id") { tell(:halted); halt 418, "no" }
      get("/passed/:id") { tell(:passed); pass }
      get("/passed/*") { tell(:taken); "taken" }
      get("/broken") { tell(:broken); raise "broken" }
      get("/streamed") { stream { |out| tell(:streamed); out << "stream" } }
      get("/digested/:id") { stream { |out| tell(:digested); out << "digest" } }
      get(%r{/pattern/(a b|\d+)}) { tell(:pattern); "pattern" }
      after { tell(:after) }
      set :raise_errors, false
      set :dump_errors, false
    end
    app = Rack::Builder.new do
      use Cprof::Middleware
      map("/admin") { run Shop }
      map("/tagged") { use Rack::ETag; run Shop } # which reads the body to its end
      run Shop
    end.to_app
  RUBY

  def test_sinatras_blocks_run_with_their_route
    outcome = run_rack(<<~RUBY, gem: "sinatra")
      #{SINATRA}
      start
      answers = %w[/users/17 /halted/1 /passed/1 /broken /streamed /pattern/5 /nowhere].map { |path| get(app, path).then { |r| [r.status, r.body] } }
      p answers.map(&:first), answers.filter_map { |status, body| body if status == 200 }
      $told.delete(:user)
      get(app, "/admin/users/17")
      get(app, "/tagged/digested/4").then { |r| abort "no tag" unless r.body == "digest" && (r["etag"] || Rack.release.to_i >= 3) }
      p Cprof::Native.current_labels
    RUBY
    assert_clean outcome
    statuses, bodies, left, *spots = outcome.output.lines.map(&:chomp)
    assert_equal "[200, 418, 200, 500, 200, 200, 404]", statuses
    assert_equal '["user", "taken", "stream", "pattern"]', bodies
    assert_equal "nil", left
    spots = spots.to_h { |line| line.split(" ", 2) }
    assert_equal({ "user" => "GET /admin/users/:id", "halted" => "GET /halted/:id", "passed" => "GET /passed/:id",
                   "taken" => "GET /passed/*", "broken" => "GET /broken", "streamed" => "GET /streamed",
                   "digested" => "GET /tagged/digested/:id" },
                 spots.slice("user", "halted", "passed", "taken", "broken", "streamed", "digested"))
    assert_equal %q(GET \/pattern\/(a b|\d+)), spots["pattern"]
    assert_equal "GET", spots["after"].strip
  end

  RAILS = <<~'RUBY'
    require "logger" # Active Support 6.1 forgets it
    require "rails"
    require "action_controller/railtie"
    class Shop < Rails::Application
      config.load_defaults Rails::VERSION::STRING.to_f
      config.eager_load = false
      config.secret_key_base = "x" * 32
      config.hosts.clear
      config.logger = Logger.new(nil)
      config.consider_all_requests_local = false
      config.middleware.insert_before 0, Cprof::Middleware
    end
    class Engine < Rails::Engine; end
    class UsersController < ActionController::Base
      before_action { tell(:before) }
      def show = (tell(:user); render(plain: "user"))
      def named = (tell(:named); render(plain: "named"))
      def other = (tell(:other); render(plain: "other"))
      def broken = (tell(:broken); raise "broken")
      def moved = (tell(:moved); redirect_to("/users/1"))
      def post = (tell(:post); render(plain: "post"))
      def digested
        self.response_body = Enumerator.new { |out| tell(:digested); out << "digest" } # Rack::ETag reads it
      end
      def streamed
        headers["Last-Modified"] = "Sun, 06 Nov 1994 08:49:37 GMT" # else Rack::ETag reads it all
        self.response_body = Enumerator.new { |out| tell(:streamed); out << "stream" }
      end
    end
    class Plain < ActionController::API
      def index = (tell(:plain); render(json: [1]))
    end
    class PlainController < Plain; end
    Shop.initialize!
    Engine.routes.draw { get "posts/:id", to: "users#post" }
    Shop.routes.draw do
      get "users/:id", to: "users#other", constraints: ->(request) { request.params["other"] }
      get "users/:id", to: "users#show"
      get "named/:id", to: "users#named", id: /\d+/
      get "broken", to: "users#broken"
      get "moved", to: "users#moved"
      get "streamed", to: "users#streamed"
      get "digested/:id", to: "users#digested"
      get "plain", to: "plain#index"
      mount Engine => "/blog"
    end
  RUBY

  def test_rails_controllers_run_with_their_route
    outcome = run_rack(<<~RUBY, gem: "railties")
      #{RAILS}
      app = Shop
      start
      answers = %w[/users/17 /users/17?other=1 /named/5.json /broken /moved /streamed /digested/4 /plain /blog/posts/1 /nowhere].map { |path| get(app, path).then { |r| [r.status, r.body] } }
      p answers.map(&:first), answers.filter_map { |status, body| body if status == 200 }
      p Cprof::Native.current_labels
    RUBY
    assert_clean outcome
    statuses, bodies, left, *spots = outcome.output.lines.map(&:chomp)
    assert_equal "[200, 200, 200, 500, 302, 200, 200, 200, 200, 404]", statuses
    assert_equal '["user", "other", "named", "stream", "digest", "[1]", "post"]', bodies
    assert_equal "nil", left
    spots = spots.to_h { |line| line.split(" ", 2) }
    assert_equal({ "before" => "GET /users/:id", "user" => "GET /users/:id", "other" => "GET /users/:id", "named" => "GET /named/:id",
                   "broken" => "GET /broken", "moved" => "GET /moved", "streamed" => "GET /streamed", "digested" => "GET /digested/:id",
                   "plain" => "GET /plain", "post" => "GET /blog/posts/:id" }, spots)
  end

  def test_a_framework_that_is_not_as_known_is_left_alone_and_said_once
    outcome = run_rack(<<~'RUBY')
      module Sinatra; class Base; end; end
      module ActiveSupport; def self.on_load(*) = yield; end
      app = Cprof::Middleware.new(->(_) { [200, {}, ["fine"]] })
      start
      3.times { p app.call("REQUEST_METHOD" => "GET") }
    RUBY
    assert outcome.status.success?, outcome.errors
    assert_equal %([200, {}, ["fine"]]\n) * 3, outcome.output
    assert_equal 1, outcome.errors.lines.size, outcome.errors
    assert_match(/\Acprof: http.route is not known: .*route_eval/, outcome.errors)
  end

  def test_what_the_hooks_meet_does_no_harm
    outcome = run_rack(<<~'RUBY')
      module Sinatra
        class Base
          def initialize(env) = @env = env
          def env = @env || raise("no")
          def call = catch(:halt) { route_eval { tell(:route); :answer } }
          def route_eval = throw(:halt, yield)
        end
      end
      class Odd; def to_s = raise("odd"); end
      app = Cprof::Middleware.new(->(env) { Sinatra::Base.new(env["inner"]).call })
      request = { "REQUEST_METHOD" => "GET" }
      start
      p app.call(request.merge("inner" => nil)), app.call(request.merge("inner" => { "sinatra.route" => Odd.new }))
      $told.clear
      Cprof.stop
      p app.call(request.merge("inner" => { "sinatra.route" => "GET /a" }))
      start
      $told.clear
      p app.call(request.merge("inner" => { "sinatra.route" => "GET /a" }))
    RUBY
    assert outcome.status.success?, outcome.errors
    assert_equal ":answer\n" * 4 + "route GET /a\n", outcome.output
    assert_equal ["cprof: http.route is not known: no\n"], outcome.errors.lines
  end

  def test_a_body_is_labelled_while_it_is_made_and_is_else_as_it_was
    outcome = run_rack(<<~'RUBY')
      class Lines; def each = (tell(:each); yield "a"; yield "b"); def close = tell(:close); end
      class Caller; def call(stream) = (tell(:call); stream << "c"); end
      class File; def to_path = "/file"; def each = yield; end
      body = nil
      app = Cprof::Middleware.new(->(env) { env["sinatra.route"] = "GET /x"; [200, {}, body] })
      answer = ->(with) { body = with; app.call("REQUEST_METHOD" => "BREW")[2] }
      start
      lines = answer[Lines.new]
      p lines.to_enum.to_a, lines.close, lines.respond_to?(:to_ary), lines.respond_to?(:call), lines.respond_to?(:each)
      caller = answer[Caller.new]
      p caller.call([]), caller.respond_to?(:each), caller.respond_to?(:close)
      [["a"], File.allocate, nil].each { |kept| p answer[kept].equal?(kept) }
      begin
        lines.other
      rescue NoMethodError => e
        puts e.name
      end
    RUBY
    assert_clean outcome
    *printed, each, close, call = outcome.output.lines.map(&:chomp)
    assert_equal ['["a", "b"]', '["_OTHER", "/x"]', "false", "false", "true", '["c"]', "false", "false", "true", "true", "true", "other"], printed
    assert_equal ["each _OTHER /x", "close _OTHER /x", "call _OTHER /x"], [each, close, call]
  end

  def test_samples_carry_the_route_of_the_action_that_runs
    outcome = run_profiled(<<~'RUBY', rate: 500)
      module Sinatra; class Base; def run(env) = route_eval { spin(0.2) }; attr_accessor :env; def route_eval = yield; end; end
      app = Cprof::Middleware.new(lambda do |env|
        spin(0.1)
        Sinatra::Base.new.tap { |base| base.env = env.merge("sinatra.route" => "GET /users/:id") }.run(env)
        [200, {}, ["x"]]
      end)
      2.times { app.call("REQUEST_METHOD" => "GET", "PATH_INFO" => "/users/17") }
    RUBY
    assert_clean outcome
    inside, outside = outcome.profile.samples.select { |s| s.names.include?("Object#spin") }.partition { |s| s.names.include?("Sinatra::Base#run") }
    refute_empty inside
    assert_equal [["GET", "/users/:id"]], inside.map { |s| s.labels.values_at("http.request.method", "http.route") }.uniq
    assert_equal [["GET", nil]], outside.map { |s| s.labels.values_at("http.request.method", "http.route") }.uniq
  end
end
