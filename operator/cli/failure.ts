/** A command that ends with a message for people instead of a stack. `exitCode` 1: failed, not found, timed out; 2: wrong usage, configuration or manifest. */
export class Failure extends Error {
  override readonly name = "Failure";
  readonly exitCode: 1 | 2;
  constructor(message: string, exitCode: 1 | 2 = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}
