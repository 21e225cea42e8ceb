"""Decorators: blocks around functions of every kind. Loaded when the first is made, as inspect is
not for free."""

from __future__ import annotations

import functools
import inspect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, ContextManager, TypeVar
    _F = TypeVar("_F", bound=Callable[..., Any])
    _Block = Callable[[], ContextManager[Any]]


def around(function: _F, block: _Block) -> _F:
    """The function with a fresh block around each call; around a coroutine or generator from
    its first step to its end, and so around what others do between two steps."""
    if inspect.isasyncgenfunction(function):
        @functools.wraps(function)
        async def wrapper(*arguments: Any, **keywords: Any) -> Any:
            with block():
                steps = _AsyncSteps(function(*arguments, **keywords))
                while await steps.next():
                    try:
                        steps.send((yield steps.item))
                    except GeneratorExit:
                        await steps.generator.aclose()
                        raise
                    except BaseException as error:
                        steps.throw(error)
    elif inspect.isgeneratorfunction(function):
        @functools.wraps(function)
        def wrapper(*arguments: Any, **keywords: Any) -> Any:
            with block():
                return (yield from function(*arguments, **keywords))
    else:
        wrapper = _around_call(function, block)
    return wrapper  # type: ignore[return-value]


def around_steps(function: _F, block: _Block) -> _F:
    """The same, with a block around each step of a generator: what others do in between is
    outside."""
    if inspect.isasyncgenfunction(function):
        @functools.wraps(function)
        async def wrapper(*arguments: Any, **keywords: Any) -> Any:
            steps = _AsyncSteps(function(*arguments, **keywords))
            while True:
                with block():
                    if not await steps.next():
                        return
                try:
                    steps.send((yield steps.item))
                except GeneratorExit:
                    with block():
                        await steps.generator.aclose()
                    raise
                except BaseException as error:
                    steps.throw(error)
    elif inspect.isgeneratorfunction(function):
        @functools.wraps(function)
        def wrapper(*arguments: Any, **keywords: Any) -> Any:
            generator = function(*arguments, **keywords)
            step, argument = generator.send, None
            while True:
                with block():
                    try:
                        item = step(argument)
                    except StopIteration as end:
                        return end.value
                try:
                    step, argument = generator.send, (yield item)
                except GeneratorExit:
                    with block():
                        generator.close()
                    raise
                except BaseException as error:
                    step, argument = generator.throw, error
    else:
        wrapper = _around_call(function, block)
    return wrapper  # type: ignore[return-value]


def _around_call(function: _F, block: _Block) -> Any:
    if inspect.iscoroutinefunction(function):
        @functools.wraps(function)
        async def wrapper(*arguments: Any, **keywords: Any) -> Any:
            with block():
                return await function(*arguments, **keywords)
    else:
        @functools.wraps(function)
        def wrapper(*arguments: Any, **keywords: Any) -> Any:
            with block():
                return function(*arguments, **keywords)
    return wrapper


class _AsyncSteps:
    """An asynchronous generator that another one stands for: `yield from` for those."""

    def __init__(self, generator: Any) -> None:
        self.generator = generator
        self.item: Any = None
        self.send(None)

    def send(self, value: Any) -> None:
        self._step, self._argument = self.generator.asend, value

    def throw(self, error: BaseException) -> None:
        self._step, self._argument = self.generator.athrow, error

    async def next(self) -> bool:
        """The next item is there; False: it has ended."""
        try:
            self.item = await self._step(self._argument)
        except StopAsyncIteration:
            return False
        return True
