/**
 * One kind of object in a system outside the cluster.
 *
 * Every call is idempotent: creating what exists and deleting what is gone both succeed, and ownership is looked at
 * before either. `observe` never writes. Failures are thrown as the classes of `operator/errors.ts`, with the client's
 * own error as `cause`; the decision is made by code (SQLSTATE, Kafka error code), never by message text.
 */
export interface External<State, Action, Name = string> {
  observe(name: Name): Promise<State | undefined>;
  apply(action: Action): Promise<void>;
  delete(name: Name): Promise<void>;
}
