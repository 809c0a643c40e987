/** What we will not do, and why; shown to the user as a condition. `reason` is one of `crds/v1alpha1/conditions.ts`. */
export interface Refusal {
  readonly reason: string;
  readonly message: string;
}

/** What to do, in order, and what we will not do. Plain data: it can be printed, compared and dry-run. */
export interface Plan<Action> {
  readonly actions: readonly Action[];
  readonly refusals: readonly Refusal[];
}
