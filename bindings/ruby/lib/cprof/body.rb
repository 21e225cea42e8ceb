# frozen_string_literal: true

module Cprof
  # A body that is made while it is read, by the server or a middleware on the way there: what that runs is the
  # request's, too.
  # @api private
  class Body
    # @yieldreturn [Hash] the labels
    # @return [Array] the response with its body labelled, unless it is there already, or labelled
    def self.labelled(response)
      return response unless response.is_a?(Array) && response.size == 3

      status, headers, body = response
      made = body.nil? || body.is_a?(Array) || body.is_a?(Body) || body.respond_to?(:to_path)
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

    # What is called on the body runs within the labels, and so does what it gives to be read later: Rails
    # gives `to_ary` an enumerator, by which Rack::ETag reads the body.
    def method_missing(name, ...)
      answer = Cprof.labels(**@labels) { @body.public_send(name, ...) }
      answer.is_a?(Enumerator) ? Body.new(answer, @labels) : answer
    end
  end
end
