import { Listing } from '../listing';
import { MlopsError } from '../tokens';
import { FakeMLOps, settle } from './support/fakes';

function setUp() {
  const mlops = new FakeMLOps();
  const load = jest.fn(async (): Promise<string[]> => ['a']);
  const listing = new Listing(mlops, ['runs'], load);
  return { mlops, load, listing };
}

describe('Listing', () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  it('loads nothing while hidden, and once on being shown', async () => {
    const { mlops, load, listing } = setUp();
    mlops.changed.emit({ topic: 'runs' });
    await mlops.refresh();
    expect(load).not.toHaveBeenCalled();
    listing.active = true;
    await settle();
    expect(listing.rows).toEqual(['a']);
    listing.active = false;
    listing.active = true;
    expect(load).toHaveBeenCalledTimes(1);
  });

  it('reacts to events of its topic, and to a storm of them once', async () => {
    const { mlops, load, listing } = setUp();
    listing.active = true;
    await settle();
    load.mockResolvedValue(['a', 'b']);
    for (let event = 0; event < 50; event++) {
      mlops.changed.emit({ topic: 'runs' });
      mlops.changed.emit({ topic: 'models' });
    }
    await jest.advanceTimersByTimeAsync(1000);
    expect(load).toHaveBeenCalledTimes(2);
    expect(listing.rows).toEqual(['a', 'b']);
  });

  it('leaves events of other topics to others', async () => {
    const { mlops, load, listing } = setUp();
    listing.active = true;
    await settle();
    mlops.changed.emit({ topic: 'models' });
    await jest.advanceTimersByTimeAsync(1000);
    expect(load).toHaveBeenCalledTimes(1);
  });

  it('forgets its rows in another workspace', async () => {
    const { mlops, load, listing } = setUp();
    listing.active = true;
    await settle();
    load.mockReturnValue(new Promise(() => {}));
    mlops.located.emit(true);
    expect(listing.rows).toBeNull();
  });

  it('keeps its rows beside an error', async () => {
    const { load, listing } = setUp();
    listing.active = true;
    await settle();
    load.mockRejectedValue(new MlopsError('locked', 'wait'));
    await listing.refresh();
    expect([listing.rows, listing.error?.hint]).toEqual([['a'], 'wait']);
  });

  it('lets no older answer overwrite a newer one', async () => {
    const { load, listing } = setUp();
    listing.active = true;
    await settle();
    let answerOld: (rows: string[]) => void = () => {};
    load.mockReturnValueOnce(new Promise(resolve => (answerOld = resolve)));
    const old = listing.refresh();
    load.mockResolvedValueOnce(['new']);
    await listing.refresh();
    answerOld(['old']);
    await old;
    expect(listing.rows).toEqual(['new']);
  });
});
