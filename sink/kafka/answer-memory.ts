const STEP_BYTES = 256 * 1024;
/** One answer that was larger does not cost its memory for ever. */
const KEPT_BYTES = 8 * 1024 * 1024;
/** Two requests under way to each broker, and one answer that is being worked on. */
const KEPT_BUFFERS = 4;
const RELEASED = 0xff;

export interface Taken {
  readonly bytes: Buffer;
  /** Once, when nobody looks at the bytes any more; without it they are the garbage collector's. */
  readonly release: () => void;
}

/**
 * Memory for fetch answers that is used again: they come by the megabyte, and V8 would let many of them pile up. Nothing ever
 * waits for it, since partitions that are paused keep theirs for as long as that takes: where none is free, there is more.
 */
export class AnswerMemory {
  readonly #free: Buffer[] = [];

  take(length: number): Taken {
    const found = this.#free.findLastIndex((buffer) => buffer.length >= length);
    const [kept] = found < 0 ? [] : this.#free.splice(found, 1);
    const buffer = kept ?? Buffer.allocUnsafeSlow(Math.ceil(length / STEP_BYTES) * STEP_BYTES);
    const bytes = buffer.subarray(0, length);
    return { bytes, release: () => this.#keep(buffer, bytes) };
  }

  /** Those that are too small for what comes make room for others. */
  #keep(buffer: Buffer, bytes: Buffer): void {
    // Who looks at them after all finds no record.
    bytes.fill(RELEASED);
    if (buffer.length > KEPT_BYTES) return;
    this.#free.push(buffer);
    if (this.#free.length > KEPT_BUFFERS) this.#free.shift();
  }
}

/** Calls `release` when all who share have said that they are done. */
export class Shared {
  readonly #release: () => void;
  #users = 1;

  constructor(release: () => void) {
    this.#release = release;
  }

  share(): this {
    this.#users += 1;
    return this;
  }

  done(): void {
    this.#users -= 1;
    if (this.#users === 0) this.#release();
  }
}
