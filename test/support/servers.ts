import { inject } from "vitest";
import type { Login } from "../../hack/servers/postgres.ts";

export interface Pg {
  host: string;
  port: number;
  superuser: Login;
  /** CREATEDB CREATEROLE, not superuser: what the operator is given. */
  admin: Login;
}

/** The servers of one test run. They are shared: choose names of your own, and never stop one. */
export interface SharedServers {
  kafka: { bootstrapServers: string[] };
  postgres15: Pg;
  postgres18: Pg;
  /** Where to ask for the broker with TLS: `securedKafka()` does. */
  securedKafka: string;
}

declare module "vitest" {
  interface ProvidedContext {
    servers: SharedServers;
  }
}

export const sharedServers = (): SharedServers => inject("servers");
