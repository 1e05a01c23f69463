-- up
CREATE TABLE shop_orders (
    id INTEGER PRIMARY KEY,
    item TEXT NOT NULL,
    count INTEGER NOT NULL,
    stamped INTEGER NOT NULL DEFAULT 0
);
-- down
DROP TABLE shop_orders;
