import { GoneError, type KubeObject, type WatchEvent } from "../runtime/object-store.ts";

type Change = { version: number; type: "Added" | "Modified" | "Deleted"; object: KubeObject };

/**
 * The latest changes, from which every watch reads at its own pace. A watch that falls behind what is kept is told that
 * its version is gone; so a slow reader costs no memory.
 */
export class History {
  readonly #changes: Change[] = [];
  readonly #waiting = new Set<() => void>();
  readonly #keep: number;
  /** Changes up to this version are no longer known. */
  #horizon: number;

  constructor(start: number, keep = 2_000) {
    this.#horizon = start;
    this.#keep = keep;
  }

  record(change: Change): void {
    this.#changes.push(change);
    if (this.#changes.length > this.#keep) this.#horizon = this.#changes.shift()?.version ?? this.#horizon;
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  async *watch(kind: string, resourceVersion: string, signal: AbortSignal): AsyncGenerator<WatchEvent> {
    let position = Number(resourceVersion);
    if (!Number.isSafeInteger(position)) throw new GoneError(`${resourceVersion} is no resourceVersion of this store`);
    while (!signal.aborted) {
      if (position < this.#horizon) {
        throw new GoneError(`resourceVersion ${position} is too old; changes are kept from ${this.#horizon} on`);
      }
      const change = this.#after(position);
      if (change === undefined) await this.#nextChange(signal);
      else {
        position = change.version;
        if (change.object.kind === kind) yield { type: change.type, object: structuredClone(change.object) };
      }
    }
  }

  #after(version: number): Change | undefined {
    // Watches are nearly always at the end.
    let index = this.#changes.length;
    while (index > 0 && (this.#changes[index - 1]?.version ?? 0) > version) index -= 1;
    return this.#changes[index];
  }

  #nextChange(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        signal.removeEventListener("abort", done);
        this.#waiting.delete(done);
        resolve();
      };
      this.#waiting.add(done);
      signal.addEventListener("abort", done, { once: true });
    });
  }
}
