"""The page in Chromium as a person uses it: what is to be seen, clicked, written and pressed."""

from __future__ import annotations

import json
from typing import Any

from tests.security.browser import Page

_FIND = """
const shown = (one) => one.checkVisibility();
const named = (one) => (one.getAttribute("aria-label") ?? one.textContent).replace(/\\s+/g, " ").trim();
const find = (text, within, kinds) => [...document.querySelectorAll(within)].filter(shown)
    .flatMap((one) => [...one.querySelectorAll(kinds)]).filter(shown)
    .sort((one, other) => (named(other) === text) - (named(one) === text)).find((one) => named(one).startsWith(text));
"""
_CODES = {"Escape": 27, "Enter": 13, "Tab": 9}
_CLICKABLE = "button, a, [role=tab], summary, input[type=checkbox]"
_WAIT = """
const end = performance.now() + 10000;
const wait = async (look) => {
    for (;;) {
        const found = look();
        if (found) return found;
        if (performance.now() > end) return null;
        await new Promise((resolve) => setTimeout(resolve, 15));
    }
};
"""


class Screen:
    """One tab that shows the page of a server at `root`."""

    def __init__(self, page: Page, root: str) -> None:
        self.page = page
        self.root = root

    async def open(self, place: str = "/timeline", root: str | None = None) -> None:
        """Load the page anew, at a place."""
        await self.page.open("about:blank")
        await self.page.open(f"{root or self.root}/#{place}")

    async def go(self, place: str) -> None:
        """Go to another place of the page that is shown."""
        await self.page.run(f"location.hash = {json.dumps(place)}; return 0")

    async def see(self, *texts: str, within: str = "body") -> str:
        """Wait until all texts are to be seen; answers all that is."""
        for text in texts:
            found = await self.page.run(f"""{_WAIT}
                const shown = () => [...document.querySelectorAll({json.dumps(within)})];
                const text = () => shown().map((one) => one.innerText).join("\\n");
                const squeezed = (one) => one.replace(/\\s+/g, " ");
                const is = await wait(() => squeezed(text()).includes(squeezed({json.dumps(text)})));
                return [Boolean(is), text()];""")
            assert found[0], f"no {text!r} within {within}:\n{found[1]}\n{self.page.log}"
        return str(await self.page.run(f"return document.querySelector({json.dumps(within)})?.innerText ?? ''"))

    async def sees(self, selector: str, count: int | None = None) -> int:
        """Wait until there are so many of something, or any; answers how many."""
        wanted = "found.length > 0" if count is None else f"found.length === {count}"
        found = await self.page.run(f"""{_WAIT}
            let found = [];
            await wait(() => {{ found = document.querySelectorAll({json.dumps(selector)}); return {wanted}; }});
            return found.length;""")
        assert found == count or (count is None and found), f"{found} of {selector}: {await self.text()}"
        return int(found)

    async def text(self) -> str:
        """All that is to be seen."""
        return str(await self.page.run("return document.body.innerText"))

    async def click(self, text: str, within: str = "body") -> None:
        """Click what is called so, once it is there and can be clicked."""
        done = await self.page.run(f"""{_FIND}{_WAIT}
            const found = await wait(() => {{
                const one = find({json.dumps(text)}, {json.dumps(within)}, {json.dumps(_CLICKABLE)});
                return one && !one.disabled ? one : null;
            }});
            found?.click();
            return found !== null;""")
        assert done, f"nothing to click is called {text!r} within {within}:\n{await self.text()}"

    async def fill(self, selector: str, text: str) -> None:
        """Write into a field, or choose in a list."""
        done = await self.page.run(f"""{_WAIT}
            const field = await wait(() => document.querySelector({json.dumps(selector)}));
            if (!field) return false;
            field.focus();
            const {{ set }} = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(field), "value");
            set.call(field, {json.dumps(text)});
            field.dispatchEvent(new Event(field.tagName === "SELECT" ? "change" : "input", {{ bubbles: true }}));
            return true;""")
        assert done, f"no field {selector}"

    async def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            text: dict[str, Any] = {"text": key} if len(key) == 1 else {"windowsVirtualKeyCode": _CODES.get(key, 0)}
            for kind in ("keyDown", "keyUp"):
                await self.page.call(
                    "Input.dispatchKeyEvent", type=kind, key=key, **(text if kind == "keyDown" else {})
                )

    async def value(self, expression: str) -> Any:
        """What an expression is in the page."""
        return await self.page.run(f"return {expression}")

    async def until(self, expression: str) -> Any:
        """Wait until an expression is true; answers it."""
        found = await self.page.run(f"{_WAIT} return await wait(() => {expression});")
        assert found, f"never true: {expression}\n{await self.text()}\n{self.page.log}"
        return found

    async def resize(self, width: int, height: int = 800) -> None:
        """Make the window so large, in CSS pixels; 0 for as it was."""
        if width:
            await self.page.call(
                "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
            )
        else:
            await self.page.call("Emulation.clearDeviceMetricsOverride")
