from tests.sources.conftest import Bench, until


async def test_smoke(bench: Bench) -> None:
    await bench.produce_numbers(range(1000))
    m = bench.member()
    await until(lambda: len(m.sink.numbers()) >= 1000)
    assert m.sink.numbers() == list(range(1000))

    async def c():
        return await bench.committed() == 1000

    await until(c)
    assert m.source.healthy()
