import { ByteWriter } from "./byte-writer.ts";

const PIECE_BYTES = 256 * 1024;
/** Room for the event that a piece ends with: it grows for a large one only, and that memory is not kept. */
const MARGIN_BYTES = 16 * 1024;
const CAPACITY_BYTES = PIECE_BYTES + MARGIN_BYTES;

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

  release(): void {
    this.#holds -= 1;
    if (this.#holds === 0) this.#unused(this);
  }
}

/**
 * Where events wait for their transaction. A piece is used again once each of its events was released. Whatever is never
 * released is the garbage collector's: what forgets to do so costs memory for a while, and no event.
 */
export class RowMemory {
  readonly #free: Piece[] = [];
  #filling = this.#fresh();

  /** A piece to write one event to; the event holds it. */
  next(): Piece {
    if (this.#filling.writer.length >= PIECE_BYTES) {
      this.#filling = this.#free.pop() ?? this.#fresh();
      this.#filling.writer.reset();
    }
    return this.#filling;
  }

  #fresh(): Piece {
    return new Piece((piece) => {
      if (piece === this.#filling) piece.writer.reset();
      else this.#free.push(piece);
    });
  }
}
