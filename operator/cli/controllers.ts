import type { OperatorConfig } from "../config.ts";
import type { Receipts } from "../external/receipts.ts";
import type { Outcome, Reconciler, Resource } from "../runtime/controller.ts";

/** What the controllers need of the world outside; closed when they have stopped. */
export interface Controllers {
  reconcilers: readonly Reconciler<Resource, Outcome>[];
  close(): Promise<void>;
}

export type MakeControllers = (config: OperatorConfig, receipts: Receipts) => Controllers;
