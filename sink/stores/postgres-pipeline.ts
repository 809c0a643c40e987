import type { Connection, Submittable } from "pg";
import { ByteWriter } from "../byte-writer.ts";

interface CommandComplete {
  readonly text: string;
}

/**
 * Several protocol messages up to one Sync, submitted to `pg` as if they were one query: the client library sends
 * nothing else in between and waits for nothing. `send` writes the messages, without the Sync.
 */
export class Pipeline implements Submittable {
  readonly #send: (connection: Connection) => void | Promise<void>;
  readonly #settled = Promise.withResolvers<readonly string[]>();
  readonly #tags: string[] = [];

  constructor(send: (connection: Connection) => void | Promise<void>) {
    this.#send = send;
  }

  /** The command tags in order; rejects with the server's or the connection's first error. */
  get done(): Promise<readonly string[]> {
    return this.#settled.promise;
  }

  submit(connection: Connection): void {
    const { stream } = connection;
    stream.cork();
    const end = () => {
      connection.sync();
      stream.uncork();
    };
    const sending = this.#send(connection);
    if (sending === undefined) end();
    else sending.then(end).catch((error: Error) => stream.destroy(error));
  }

  handleCommandComplete(message: CommandComplete): void {
    this.#tags.push(message.text);
  }

  handleError(error: Error): void {
    this.#settled.reject(error);
  }

  handleReadyForQuery(): void {
    this.#settled.resolve(this.#tags);
  }

  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleCopyInResponse(): void {}
  handlePortalSuspended(): void {}
  handleEmptyQuery(): void {}
}

export function parse(connection: Connection, name: string, text: string): void {
  connection.parse({ name, text, types: [] }, true);
}

/** Strings are sent as text, buffers as binary. */
export function bind(
  connection: Connection,
  statement: string,
  portal: string,
  values: readonly (string | Buffer | null)[] = [],
): void {
  connection.bind({ statement, portal, values: [...values] }, true);
}

export function execute(connection: Connection, portal: string): void {
  connection.execute({ portal }, true);
}

const COPY_DATA = 0x64;
const COPY_DONE = Buffer.from([0x63, 0, 0, 0, 4]);
/** The server takes each message into memory as a whole; their borders mean nothing. */
const PIECE_BYTES = 65_536;
const PIECES = 8;
/** One large row does not cost its memory for ever. */
const KEPT_BYTES = 4 * PIECE_BYTES;

export interface CopyFormat<T> {
  begin(writer: ByteWriter): void;
  item(writer: ByteWriter, item: T): void;
  end(writer: ByteWriter): void;
}

/**
 * The data of a COPY … FROM STDIN, encoded while the server already works on what came before it, in a few pieces of memory
 * that are used over and over. For one connection; a COPY that failed makes the server skip what follows.
 */
export class CopyStream {
  readonly #free = Array.from({ length: PIECES }, () => new ByteWriter(PIECE_BYTES + PIECE_BYTES / 4, KEPT_BYTES));
  #freed = Promise.withResolvers<void>();

  /** The connection is corked before and after. */
  async send<T>(connection: Connection, items: Iterable<T>, format: CopyFormat<T>): Promise<void> {
    const { stream } = connection;
    stream.uncork();
    let piece = await this.#take(connection);
    format.begin(piece);
    for (const item of items) {
      format.item(piece, item);
      if (piece.length < PIECE_BYTES) continue;
      this.#give(connection, piece);
      piece = await this.#take(connection);
    }
    format.end(piece);
    this.#give(connection, piece);
    stream.cork();
    stream.write(COPY_DONE);
  }

  async #take({ stream }: Connection): Promise<ByteWriter> {
    for (;;) {
      // Then the items were given up as well, perhaps: their memory may be another one's.
      if (stream.destroyed) throw new Error("The connection was given up");
      const piece = this.#free.pop();
      if (piece !== undefined) return piece.reset().uint8(COPY_DATA).int32(0);
      await this.#freed.promise;
    }
  }

  /** A connection that is cut gives its pieces back as well, and nobody reads them any more. */
  #give({ stream }: Connection, piece: ByteWriter): void {
    stream.write(piece.putInt32(piece.length - 1, 1).take(), () => {
      this.#free.push(piece);
      this.#freed.resolve();
      this.#freed = Promise.withResolvers();
    });
  }
}
