import { hash } from "node:crypto";

/** Events as audit streams have them: few actors, types and objects make most of them. The same seed gives the same bytes. */

export interface BenchEvent {
  readonly id: string;
  readonly value: Buffer;
  /** Hex. */
  readonly sha256: string;
}

const SOURCES = 40;
const ACTORS = 50_000;
const OBJECTS = 100_000;
const TYPES = ["login", "read", "update", "export", "create", "grant", "delete", "revoke", "config", "key-rotation"];
const METHODS = ["GET", "POST", "PUT", "DELETE"];
const FIXED_BYTES = 540;

export class EventSource {
  #state: number;
  readonly #bytes: number;
  #count = 0;

  constructor(seed: number, bytes: number) {
    this.#state = seed >>> 0;
    this.#bytes = bytes;
  }

  /** `time`: RFC 3339, up to microseconds. */
  next(time: string): BenchEvent {
    const n = this.#count++;
    const id = `${this.#hex(8)}-${this.#hex(4)}-4${this.#hex(3)}-a${this.#hex(3)}-${n.toString(16).padStart(12, "0")}`;
    const text = this.#text(id, time);
    const value = Buffer.from(text, "latin1");
    return { id, value, sha256: hash("sha256", value, "hex") };
  }

  #text(id: string, time: string): string {
    const kind = TYPES[this.#zipf(TYPES.length) - 1] ?? "read";
    const [actor, object, status] = [this.#zipf(ACTORS), this.#zipf(OBJECTS), this.#below(100)];
    const outcome = status < 1 ? "denied" : status < 5 ? "failure" : "success";
    const padding = this.#hex(Math.max(0, this.#bytes - FIXED_BYTES));
    const method = METHODS[this.#below(METHODS.length)] ?? "GET";
    return (
      `{"specversion":"1.0","id":"${id}","source":"/services/${this.#zipf(SOURCES)}","type":"org.example.${kind}",` +
      `"subject":"account/${object}","time":"${time}","datacontenttype":"application/json",` +
      `"traceparent":"00-${this.#hex(32)}-${this.#hex(16)}-01","data":{"actor":{"type":"user","id":"u_${actor}",` +
      `"ip":"10.0.${actor & 255}.7"},"action":"account.${kind}","outcome":"${outcome}",` +
      `"target":{"type":"account","id":"acct-${object}"},"request":{"method":"${method}",` +
      `"path":"/v1/accounts/${object}","status":${200 + status},"duration_ms":${this.#below(900)}},` +
      `"note":"${padding}"}}`
    );
  }

  /** mulberry32. */
  #random(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  #below(n: number): number {
    return this.#random() % n;
  }

  /** 1 to `n`, rank k about as often as 1/k. */
  #zipf(n: number): number {
    return Math.floor((n + 1) ** (this.#random() / 2 ** 32));
  }

  #hex(length: number): string {
    let text = "";
    while (text.length < length) text += this.#random().toString(16).padStart(8, "0");
    return text.slice(0, length);
  }
}

/** Made before they are sent, so that a paced phase pays for sending alone; in one piece, which no collector looks at. */
export class PreparedEvents {
  readonly count: number;
  readonly #bytes: Buffer;
  readonly #ends: Float64Array;

  /** `made`: called with each. */
  constructor(source: EventSource, count: number, made: (event: BenchEvent) => void) {
    this.count = count;
    this.#ends = new Float64Array(count);
    const time = new Date().toISOString();
    let bytes = Buffer.allocUnsafe(count * 800);
    let end = 0;
    for (let n = 0; n < count; n += 1) {
      const event = source.next(time);
      if (end + event.value.length > bytes.length) bytes = Buffer.concat([bytes, Buffer.allocUnsafe(bytes.length)]);
      end += event.value.copy(bytes, end);
      this.#ends[n] = end;
      made(event);
    }
    this.#bytes = bytes;
  }

  value(n: number): Buffer {
    return this.#bytes.subarray(this.#ends[n - 1] ?? 0, this.#ends[n]);
  }
}

/** Which of its source's events one is: the end of its id. */
export const numberOf = (id: string): number => Number.parseInt(id.slice(-12), 16);
