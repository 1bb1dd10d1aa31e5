// The text of Server-Sent Events, read as it comes.
//
// The browser's own EventSource hides the status of a refused request and the comments that are signs of life;
// both decide here what the page says about its connection. Invariant: any split of the text gives the same.

export interface Block {
  id: string | undefined;
  data: string | undefined;
  comment: string | undefined;
}

export class SseReader {
  private rest = '';

  /** The blocks that are complete with this text. */
  read(text: string): Block[] {
    this.rest += text;
    const blocks: Block[] = [];
    for (let end = this.rest.indexOf('\n\n'); end >= 0; end = this.rest.indexOf('\n\n')) {
      blocks.push(blockOf(this.rest.slice(0, end)));
      this.rest = this.rest.slice(end + 2);
    }
    return blocks;
  }
}

function blockOf(text: string): Block {
  const block: Block = { id: undefined, data: undefined, comment: undefined };
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'id') block.id = value;
    else if (name === 'data') block.data = block.data === undefined ? value : `${block.data}\n${value}`;
    else if (name === '') block.comment = value;
  }
  return block;
}
