/** When logins are replaced. */
export interface Rotation {
  readonly nowMs: number;
  /** Absent: only on request. */
  readonly intervalMs?: number | undefined;
  /** How long the login before stays good; absent: it is not taken away in this step. */
  readonly overlapMs?: number | undefined;
  /** Stands for the annotation's value: a login made under another one is to be replaced. */
  readonly request?: string | undefined;
}
