import type { Login, Postgres } from "../../hack/servers/postgres.ts";

/** The PostgreSQL that holds the ledger, whichever it is by now: after a failover its host and port are another's. */
export class LedgerServer {
  #current: Postgres;

  constructor(first: Postgres) {
    this.#current = first;
  }

  get current(): Postgres {
    return this.#current;
  }

  get host(): string {
    return this.#current.host;
  }

  get port(): number {
    return this.#current.port;
  }

  get superuser(): Login {
    return this.#current.superuser;
  }

  /** The other takes over; the one before is removed with its data. */
  async replaceBy(other: Postgres): Promise<void> {
    const before = this.#current;
    this.#current = other;
    await before.remove();
  }

  remove(): Promise<void> {
    return this.#current.remove();
  }
}
