import time
from tests.model.world import *
from tests.model.promises import *
from tests.system.sales import sale, refund, customer

def test_smoke(stage):
    for fl in ("native","upsert","lookup"):
        t=time.perf_counter()
        w = ModelWorld(stage, "m-"+fl+"", fl, 1)
        try:
            w.start(); w.start()
            w.advance(5)
            for n in range(20):
                w.publish(sale(n)); w.publish(refund(n)); w.publish(customer(f"c{n%5}", n))
            w.advance(60)
            check(w)
            print(fl, time.perf_counter()-t, check_end(w), w.vendor.calls)
            t=time.perf_counter()
            w.advance(600)
            print("600 idle s", time.perf_counter()-t)
        finally:
            w.close()
