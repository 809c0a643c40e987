import { ByteWriter } from "./byte-writer.ts";

const PIECE_BYTES = 256 * 1024;
/** Room for the event that a piece ends with: it grows for a large one only, and that memory is not kept. */
const MARGIN_BYTES = 16 * 1024;
const CAPACITY_BYTES = PIECE_BYTES + MARGIN_BYTES;
const RELEASED = 0xff;

/** Memory for some hundred events that came after each other. */
export class Piece {
  readonly writer = new ByteWriter(CAPACITY_BYTES, CAPACITY_BYTES);
  readonly #unused: (piece: Piece) => void;
  #holds = 0;

  constructor(unused: (piece: Piece) => void) {
    this.#unused = unused;
  }

  hold(): void {
    this.#holds += 1;
  }

  /** Once for each `hold`. Once more would hand out memory that is another event's by now: better no sink than that. */
  release(): void {
    if (this.#holds === 0) throw new Error("Memory of an event was released twice");
    this.#holds -= 1;
    if (this.#holds > 0) return;
    // Who looks at it after all finds no event: lengths of -1, and nothing that has its hash.
    this.writer.memory.fill(RELEASED, 0, this.writer.length);
    this.writer.reset();
    this.#unused(this);
  }
}

/**
 * Where events wait for their transaction. A piece is used again once each of its events was released. Whatever is never
 * released is the garbage collector's: what forgets to do so costs memory for a while, and no event. Nothing ever waits for
 * memory: where none is free, there is more.
 */
export class RowMemory {
  readonly #free: Piece[] = [];
  #filling = this.#fresh();

  /** A piece to write one event to; the event holds it. */
  next(): Piece {
    if (this.#filling.writer.length >= PIECE_BYTES) {
      this.#filling = this.#free.pop() ?? this.#fresh();
    }
    return this.#filling;
  }

  #fresh(): Piece {
    return new Piece((piece) => {
      if (piece !== this.#filling) this.#free.push(piece);
    });
  }
}
