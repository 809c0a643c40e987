import type { Connection, Submittable } from "pg";

interface CommandComplete {
  readonly text: string;
}

/**
 * Several protocol messages up to one Sync, submitted to `pg` as if they were one query: the client library sends
 * nothing else in between and waits for nothing. `send` writes the messages, without the Sync.
 */
export class Pipeline implements Submittable {
  readonly #send: (connection: Connection) => void;
  readonly #settled = Promise.withResolvers<readonly string[]>();
  readonly #tags: string[] = [];

  constructor(send: (connection: Connection) => void) {
    this.#send = send;
  }

  /** The command tags in order; rejects with the server's or the connection's first error. */
  get done(): Promise<readonly string[]> {
    return this.#settled.promise;
  }

  submit(connection: Connection): void {
    connection.stream.cork();
    this.#send(connection);
    connection.sync();
    connection.stream.uncork();
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
const COPY_MESSAGE_BYTES = 65_536;

/** Follows the execute of a COPY … FROM STDIN at once: where that failed, the server skips these messages. */
export function copyData(connection: Connection, bytes: Buffer): void {
  for (let from = 0; from < bytes.length; from += COPY_MESSAGE_BYTES) {
    const chunk = bytes.subarray(from, from + COPY_MESSAGE_BYTES);
    const header = Buffer.allocUnsafe(5);
    header[0] = COPY_DATA;
    header.writeInt32BE(chunk.length + 4, 1);
    connection.stream.write(header);
    connection.stream.write(chunk);
  }
  connection.stream.write(COPY_DONE);
}
