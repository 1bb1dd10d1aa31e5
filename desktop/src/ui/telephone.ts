// A sound of any kind that the browser reads, as a WAV file of what a telephone carries: one channel, 8,000 samples a second, 16 bit.

const RATE = 8000;
const HEADER_BYTES = 44;

/** Fails (`DOMException`) where the browser does not read the file. */
export async function telephoneWav(file: Blob): Promise<Blob> {
  const read = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await file.arrayBuffer());
  const length = Math.max(1, Math.ceil(read.duration * RATE));
  const context = new OfflineAudioContext(1, length, RATE);
  const source = context.createBufferSource();
  source.buffer = read;
  source.connect(context.destination);
  source.start();
  const sound = await context.startRendering();
  return new Blob([wavOf(sound.getChannelData(0))], { type: 'audio/wav' });
}

/** The file of these samples, from -1 to 1. */
export function wavOf(samples: Float32Array): ArrayBuffer {
  const file = new ArrayBuffer(HEADER_BYTES + samples.length * 2);
  const view = new DataView(file);
  const text = (at: number, letters: string) => [...letters].forEach((letter, n) => view.setUint8(at + n, letter.charCodeAt(0)));
  text(0, 'RIFF');
  view.setUint32(4, file.byteLength - 8, true);
  text(8, 'WAVEfmt ');
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, RATE, true);
  view.setUint32(28, RATE * 2, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, 'data');
  view.setUint32(40, samples.length * 2, true);
  samples.forEach((sample, n) => view.setInt16(HEADER_BYTES + n * 2, Math.round(Math.max(-1, Math.min(1, sample)) * 32767), true));
  return file;
}
