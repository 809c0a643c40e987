import type { PostgresBackend } from "../config.ts";

/** What the connections need to know of a back-end. */
export type PostgresServer = Pick<
  PostgresBackend,
  "name" | "host" | "port" | "sslMode" | "caFile" | "adminSecretFile" | "maintenanceDatabase"
>;

export interface PostgresConnections {
  /** As the admin. Pools are small, per database, and made at the first call. */
  // biome-ignore lint: the methods come with the implementation
  close(): Promise<void>;
}

export function connectPostgres(): PostgresConnections {
  throw new Error("not yet");
}
