def measure(b): pass
measure_memory=measure_customers=measure_tenants=measure
