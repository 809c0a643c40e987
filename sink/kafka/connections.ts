import { ConnectionError } from "./protocol.ts";

/** One connection per key, opened when first asked for and again after it was lost. */
export class Connections<Connection> {
  readonly #open: (host: string, port: number) => Promise<Connection>;
  readonly #isUsable: (connection: Connection) => boolean | Promise<boolean>;
  readonly #destroy: (connection: Connection) => void;
  readonly #known = new Map<string, Promise<Connection>>();
  #closed = false;

  constructor(
    open: (host: string, port: number) => Promise<Connection>,
    isUsable: (connection: Connection) => boolean | Promise<boolean>,
    destroy: (connection: Connection) => void,
  ) {
    this.#open = open;
    this.#isUsable = isUsable;
    this.#destroy = destroy;
  }

  /** `purpose`: requests on one connection wait for those before them, so what may wait long has its own. */
  async get(host: string, port: number, purpose: string): Promise<Connection> {
    const key = `${host}:${port}/${purpose}`;
    const known = this.#known.get(key);
    if (known !== undefined) {
      const connection = await known;
      if (await this.#isUsable(connection)) return connection;
      // Nobody would end it: a client may keep one alive that we do not use any more.
      this.#destroy(connection);
      if (this.#known.get(key) === known) this.#known.delete(key);
    }
    if (this.#closed) throw new ConnectionError("The Kafka client was closed");
    const opening = this.#known.get(key) ?? this.#start(key, host, port);
    return opening;
  }

  #start(key: string, host: string, port: number): Promise<Connection> {
    const opening = this.#open(host, port);
    this.#known.set(key, opening);
    opening.then(
      (connection) => {
        if (this.#closed) this.#destroy(connection);
      },
      () => this.#known.delete(key),
    );
    return opening;
  }

  close(): void {
    this.#closed = true;
    for (const opening of this.#known.values()) opening.then(this.#destroy, () => undefined);
    this.#known.clear();
  }
}
