// Preact with htm, so that a view is written as markup. Whatever is put into it stays text: nothing here makes HTML of text.
import { h, render } from "preact";
import htm from "htm";

export { render };
export { useEffect, useLayoutEffect, useMemo, useRef, useState, useCallback } from "preact/hooks";
export const html = htm.bind(h);
