/**
 * Cuts a byte stream of PostgreSQL's protocol (version 3) into messages: a type byte and an int32 length that counts
 * itself. A client's first message has no type byte; it is given the type "".
 */
export interface Message {
  readonly type: string;
  readonly bytes: Buffer;
}

export class MessageReader {
  #rest: Buffer = Buffer.alloc(0);
  #untyped: boolean;

  constructor(from: "client" | "server") {
    this.#untyped = from === "client";
  }

  /** The messages that are whole now; what is left waits for more. */
  read(chunk: Buffer): Message[] {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const messages: Message[] = [];
    for (let message = this.#next(); message !== undefined; message = this.#next()) messages.push(message);
    return messages;
  }

  #next(): Message | undefined {
    const typeBytes = this.#untyped ? 0 : 1;
    if (this.#rest.length < typeBytes + 4) return undefined;
    const end = typeBytes + this.#rest.readUInt32BE(typeBytes);
    if (this.#rest.length < end) return undefined;
    const bytes = this.#rest.subarray(0, end);
    this.#rest = this.#rest.subarray(end);
    this.#untyped = false;
    return { type: typeBytes === 0 ? "" : String.fromCharCode(bytes[0] ?? 0), bytes };
  }
}

const text = (bytes: Buffer, from: number) => bytes.toString("utf8", from, bytes.indexOf(0, from));

/** The portal of an Execute ("E" from a client). */
export const portalOf = ({ type, bytes }: Message): string | undefined => (type === "E" ? text(bytes, 5) : undefined);

/** The tag of a CommandComplete ("C" from a server). */
export const commandOf = ({ type, bytes }: Message): string | undefined => (type === "C" ? text(bytes, 5) : undefined);

/** The SQLSTATE of an ErrorResponse ("E" from a server): fields of one type byte and text, the code's type is C. */
export function errorCodeOf({ type, bytes }: Message): string | undefined {
  if (type !== "E") return undefined;
  for (let at = 5; at < bytes.length && bytes[at] !== 0; at = bytes.indexOf(0, at) + 1) {
    if (bytes[at] === 0x43) return text(bytes, at + 1);
  }
  return undefined;
}
