// Questions that are asked again and again. One is under way at a time, and a daemon that does not answer is asked again.

/** Asks again and again until the returned function is called. */
export function asksEvery(ms: number, ask: () => Promise<void>): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isOver = false;
  const turn = async () => {
    await ask().catch(() => undefined);
    if (!isOver) timer = setTimeout(() => void turn(), ms);
  };
  void turn();
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}
