# frozen_string_literal: true

module Cprof
  # What has to be noticed of a process's life. Prepended once, before the first start. No method is called here
  # that a program may have redefined: what there is to do is done by the extension.
  # @api private
  module Hooks
    # Around every fork of Ruby's: Process.fork, Kernel#fork, IO.popen("-").
    module Fork
      def _fork
        Native.fork_begins
        child = nil
        child = super
      ensure
        Native.fork_ends(child)
      end
    end

    # A forked child that leaves past at_exit, as Resque's leave after each job: what it has
    # sampled is delivered first, within the usual time. It leaves even when a signal's exception
    # or Thread#raise comes meanwhile: what would rescue that is the parent's.
    module HardExit
      def exit!(...)
        Native.deliver_in_child
      ensure
        super
      end
    end

    # The same of Kernel#exit!, which is private.
    module PrivateHardExit
      private

      def exit!(...)
        Native.deliver_in_child
      ensure
        super
      end
    end

    # The parent is gone when it returns: only the child is left.
    module Daemon
      def daemon(...)
        Native.fork_begins
        done = false
        result = super
        done = true
        result
      ensure
        Native.daemon_ends(done)
      end
    end

    # A thread is known by the name that it is given.
    module ThreadName
      def name=(name)
        super
        Native.tell_name(self)
      end
    end
  end
end
