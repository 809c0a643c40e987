import type { World } from "../stream/world.ts";

/** One kind of harm, as a schedule that can be repeated alone. */
export interface Fault {
  /** In the table of docs/reliability.md. */
  readonly row: number;
  /** The brokers it needs. Default: any. OneBroker: one that may be stopped, behind a proxy. */
  readonly on?: "OneBroker" | "ThreeBrokers";
  /** Why it cannot be done on this machine; undefined where it can. */
  readonly unavailable?: () => string | undefined;
  /** Does its harm, shows that what must hold held, and leaves the world healed. Rejects where it did not hold. */
  readonly run: (world: World) => Promise<void>;
}
