declare module 'node:test' {
  interface Context {
    mock: { timers: { enable(what: { apis: string[] }): void; tick(ms: number): void } };
  }
  export function test(name: string, body: (context: Context) => void | Promise<void>): void;
}
declare module 'node:assert/strict' {
  const assert: {
    equal(actual: unknown, expected: unknown, message?: string): void;
    deepEqual(actual: unknown, expected: unknown, message?: string): void;
    ok(value: unknown, message?: string): void;
  };
  export default assert;
}
