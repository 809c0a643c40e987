import type { Ledger } from "./ledger.ts";
import { isOfConnection, storeTroubleOf } from "./trouble.ts";

type Operation = Exclude<keyof Ledger, "close">;

/**
 * Tells `see` after each operation what fails now. A failure is over once the same operation works; one of the
 * connection, once any does; all of them, once something was written, which needs everything else.
 */
export function watchedLedger(ledger: Ledger, see: (failures: readonly unknown[]) => void): Ledger {
  const failures = new Map<Operation, unknown>();
  const failed = (operation: Operation, failure: unknown) => {
    // What an earlier connection met says nothing of the one that was tried now.
    for (const [other, before] of failures) {
      if (isOfConnection(failure) && isOfConnection(before)) failures.delete(other);
    }
    failures.set(operation, failure);
  };
  const answered = (operation: Operation) => {
    for (const [other, failure] of failures) {
      if (operation === "write" || other === operation || isOfConnection(failure)) failures.delete(other);
    }
  };
  async function watch<T>(operation: Operation, work: Promise<T>): Promise<T> {
    try {
      const result = await work;
      answered(operation);
      return result;
    } catch (error) {
      if (storeTroubleOf(error) !== undefined) failed(operation, error);
      throw error;
    } finally {
      see([...failures.values()]);
    }
  }
  return {
    open: () => watch("open", ledger.open()),
    claim: (...args) => watch("claim", ledger.claim(...args)),
    positions: (...args) => watch("positions", ledger.positions(...args)),
    known: (...args) => watch("known", ledger.known(...args)),
    write: (plan) => watch("write", ledger.write(plan)),
    wantMonth: (...args) => watch("wantMonth", ledger.wantMonth(...args)),
    close: () => ledger.close(),
  };
}
