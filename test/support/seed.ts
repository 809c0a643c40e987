/**
 * What the suites that draw their cases follow: SEED, else always the same. `make test` judges a change by the same cases
 * on every machine; new ones are drawn by `make soak` and `make soak-all`, which print their seed.
 */
export const SEED = Number(process.env["SEED"] ?? 20_260_101);
