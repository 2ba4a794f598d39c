import { useState } from "react";

import type { Words } from "./words";

/** A command line to copy. The button is left out where the browser has no clipboard for the page (plain HTTP). */
export function Command({ text, words }: { text: string; words: Words }) {
  const [copied, setCopied] = useState(false);
  const mayCopy = typeof navigator !== "undefined" && "clipboard" in navigator;
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
      setTimeout(() => {
        setCopied(false);
      }, 2000);
    } catch {
      setCopied(false);
    }
  };
  return (
    <div className="command">
      <code>
        {text.split(" ").map((word) => (
          <span key={word}>{word} </span>
        ))}
      </code>
      {mayCopy && (
        <button type="button" onClick={() => void copy()} aria-live="polite">
          {copied ? words.copied : words.copy}
        </button>
      )}
    </div>
  );
}
